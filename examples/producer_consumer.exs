# Three stages in a row: A counts, B doubles, C prints.
#
#     mix run examples/producer_consumer.exs
#
# Nothing flows before C asks. C asks B for a few events, B asks A for what it needs to serve C, and A is told
# how many to make: that is back-pressure.

alias Penstock.Stage

defmodule Row.A do
  @moduledoc "A producer: called with the number of events that somebody waits for."
  use Penstock.Stage

  @impl true
  def init(first), do: {:producer, first}

  @impl true
  def handle_demand(demand, next) do
    IO.puts("A is asked for #{demand}")

    # The events and the new state. A producer may return fewer events than it is asked for and the rest later.
    {:noreply, Enum.to_list(next..(next + demand - 1)), next + demand}
  end
end

defmodule Row.B do
  @moduledoc "A producer_consumer: what it returns from handle_events goes on to its own consumers."
  use Penstock.Stage

  @impl true
  def init(factor), do: {:producer_consumer, factor}

  @impl true
  def handle_events(numbers, _from, factor), do: {:noreply, Enum.map(numbers, &(&1 * factor)), factor}
end

defmodule Row.C do
  @moduledoc "A consumer: returns no events, ever. This one stops when it has seen enough."
  use Penstock.Stage

  @impl true
  def init(most), do: {:consumer, most}

  @impl true
  def handle_events(numbers, _from, left) do
    IO.puts("C gets #{Enum.join(numbers, ", ")}")
    left = left - length(numbers)
    if left > 0, do: {:noreply, [], left}, else: {:stop, :normal, left}
  end
end

{:ok, a} = Stage.start_link(Row.A, 1)
{:ok, b} = Stage.start_link(Row.B, 2)
{:ok, c} = Stage.start_link(Row.C, 12)
done = Process.monitor(c)

# From the end to the beginning: as soon as C has subscribed, events flow. At most four are on their way to C, and it
# asks for more when two of them are left.
{:ok, _} = Stage.sync_subscribe(b, to: a, max_demand: 4)
{:ok, _} = Stage.sync_subscribe(c, to: b, max_demand: 4, min_demand: 2)

receive do
  {:DOWN, ^done, _, _, _} -> IO.puts("C has seen enough")
end

# B is linked to this script and would end with it; here it is stopped in order.
Stage.stop(b)
Stage.stop(a)
