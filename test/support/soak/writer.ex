defmodule Penstock.Soak.Writer do
  @moduledoc false
  # Appends batch after batch, each again and again with the same ids until it is acknowledged.

  import Penstock.Soak.Fault

  alias Penstock.{Error, Event, EventStore}
  alias Penstock.Soak.{Dice, Ledger}

  # What the road and a server that goes away answer. What was refused for good was not: a fault of Penstock's.
  @passing [:unavailable, :deadline_exceeded, :cancelled]
  @retry_after 20

  @doc "Writes until it gets `:finish`; linked, it ends when its last batch is acknowledged."
  def start_link(name, store, streams, ledger, seed) do
    spawn_link(fn ->
      Dice.take(seed, {:writer, name})
      write(name, store, streams, ledger, 0)
    end)
  end

  defp write(name, store, streams, ledger, number) do
    receive do
      :finish -> :ok
    after
      Dice.pick([0, 0, 0, 1, 5, 20]) ->
        events = events(name, number, Dice.scale(1, 40))
        append(store, Dice.pick(streams), events, ledger)
        write(name, store, streams, ledger, number + length(events))
    end
  end

  @doc "Events with the writer's name and numbers from this one on, small ones and now and then a large one."
  def events(name, number, count) do
    padding = if Dice.chance(3), do: Dice.scale(1_000, 60_000), else: Dice.scale(1, 300)

    for n <- number..(number + count - 1) do
      Event.new("Soaked", %{"w" => "#{name}", "n" => n, "p" => String.duplicate("x", div(padding, count))},
        id: Dice.uuid()
      )
    end
  end

  @doc "Appends until it is acknowledged, and notes it."
  def append(store, stream, events, ledger, options \\ []) do
    Ledger.tried(ledger, stream, events)
    {:ok, appended} = retry(fn -> EventStore.append(store, stream, events, options) end)
    Ledger.acknowledged(ledger, stream, events, appended.revision)
    appended
  end

  @doc "Calls until the answer is none that passes."
  def retry(call) do
    case call.() do
      {:error, %Error{reason: reason} = error} when reason in @passing ->
        law(error.retry?, "an error that passes is not called so: #{brief(error)}")
        Process.sleep(@retry_after)
        retry(call)

      {:ok, _} = answer ->
        answer

      other ->
        law(false, "an append that may be done again was refused: #{brief(other)}")
    end
  end
end
