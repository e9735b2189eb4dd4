# A consumer that takes so many events in an interval, and no more.
#
#     mix run examples/rate_limiter.exs
#
# A consumer asks for events by itself as a rule. One that answers :manual when it subscribes asks when it wants
# to: this one asks for a handful, and for another when the interval is over.

alias Penstock.Stage

defmodule Limited.Consumer do
  @moduledoc "Asks each of its producers for as many events in an interval as the producer's subscription says."
  use Penstock.Stage

  @impl true
  def init(:ok), do: {:consumer, %{producers: %{}, began: now()}}

  # Called when the subscription begins. The options are those that the subscriber gave, ours among them.
  @impl true
  def handle_subscribe(:producer, options, from, state) do
    producer = %{events: options[:max_demand], interval: Keyword.fetch!(options, :interval)}
    state = put_in(state.producers[from], producer)
    {:manual, ask(from, state)}
  end

  @impl true
  def handle_cancel(_reason, from, state) do
    {_producer, state} = pop_in(state.producers[from])
    IO.puts("the producer has nothing more")
    {:stop, :normal, state}
  end

  @impl true
  def handle_events(events, _from, state) do
    IO.puts("#{now() - state.began} ms: #{Enum.join(events, ", ")}")
    {:noreply, [], state}
  end

  @impl true
  def handle_info({:ask, from}, state), do: {:noreply, [], ask(from, state)}

  defp ask(from, state) do
    with %{events: events, interval: interval} <- state.producers[from] do
      Stage.ask(from, events)
      Process.send_after(self(), {:ask, from}, interval)
    end

    state
  end

  defp now, do: System.monotonic_time(:millisecond)
end

# There are twelve events at once; they come four in fifty milliseconds.
{:ok, producer} = Stage.from_enumerable(1..12)
{:ok, consumer} = Stage.start_link(Limited.Consumer, :ok)
done = Process.monitor(consumer)

{:ok, _} = Stage.sync_subscribe(consumer, to: producer, max_demand: 4, interval: 50, cancel: :temporary)

receive do
  {:DOWN, ^done, _, _, :normal} -> IO.puts("and neither has the consumer")
end
