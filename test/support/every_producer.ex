defmodule Penstock.EveryProducer do
  @moduledoc false
  # Each kind of producer there is, as tests of what all of them do alike start them, and what comes from them.

  import ExUnit.Assertions
  import ExUnit.Callbacks
  import Penstock.StageWire

  alias Penstock.{ScriptedStage, Stage, Store}

  @doc "A stage; a subscription, whose events the core deals; and one whose process deals them."
  def kinds, do: [:stage, :subscription, :hosted]

  @doc "A producer of 100 events."
  def start(:stage, _context) do
    count = fn n, script ->
      next = Map.get(script, :next, 0)
      last = min(next + n, 100)
      {:noreply, Enum.to_list(next..(last - 1)//1), Map.put(script, :next, last)}
    end

    {:ok, producer} = ScriptedStage.start(:producer, [], %{handle_demand: count})
    on_exit(fn -> Process.exit(producer, :kill) end)
    producer
  end

  def start(:subscription, context), do: reading(context, [])

  def start(:hosted, context),
    do: reading(context, dispatcher: {Penstock.DemandDispatcher, rate: {1_000_000, 3_600_000}})

  defp reading(%{store: store}, options) do
    stream = "s-#{System.unique_integer([:positive])}"
    Store.fill(store, stream, 100)
    producer = Store.subscribe(store, stream, options)
    Store.await_info(producer, &(&1.ready_events == 100))
    producer
  end

  @doc "Events as numbers, whatever they are."
  def numbers(events), do: Enum.map(events, &number/1)
  defp number(%{body: %{"n" => n}}), do: n - 1
  defp number(n), do: n

  @doc """
  What comes under a tag, once it is so many events: a subscription may send them in several goes. More than that is
  there, too, if it was sent.
  """
  def come(producer, tag, count) do
    first = first(producer, tag, count)
    numbers(first) ++ none(producer, tag)
  end

  defp first(_producer, _tag, count) when count <= 0, do: []

  defp first(producer, tag, count) do
    assert_receive {:"$gen_consumer", {^producer, ^tag}, [_ | _] = events}, 5000
    events ++ first(producer, tag, count - length(events))
  end

  @doc "What has come though nothing should."
  def none(producer, tag), do: producer |> batches(tag) |> Enum.concat() |> numbers()

  def consumer(script \\ %{}, options \\ []) do
    {:ok, consumer} = ScriptedStage.start(:consumer, options, script)
    on_exit(fn -> Process.exit(consumer, :kill) end)
    consumer
  end

  @doc "The producer is there, and does what it is for."
  def works(producer) do
    tag = subscribe(producer)
    ask(producer, tag, 1)
    assert [_] = come(producer, tag, 1)
    cancel(producer, tag, :normal)
    assert_receive {:"$gen_consumer", {^producer, ^tag}, {:cancel, :normal}}, 5000
  end

  @doc "What makes a consumer ask for what it is told to, and for nothing else."
  def on_demand do
    %{
      handle_subscribe: fn _side, _options, _from, script -> {:manual, script} end,
      handle_cast: fn {:ask, from, count}, script ->
        Stage.ask(from, count)
        {:noreply, [], script}
      end
    }
  end
end
