# A process for every event, and never more than three at a time.
#
#     mix run examples/consumer_supervisor.exs
#
# The supervisor is the consumer. It asks for as many events as it may have children, starts one for each, and asks for
# more as they end. So it is a pool whose workers live as long as their event.

alias Penstock.{ConsumerSupervisor, Stage}

defmodule Errands.Errand do
  @moduledoc "The child. Its start function gets the event and returns the pid of a process linked to its caller."
  def start_link(number) do
    Task.start_link(fn ->
      # how many run right now, this one included
      running = :counters.get(counter(), 1) + 1
      :counters.add(counter(), 1, 1)
      IO.puts("errand #{number} is run#{if running > 3, do: ", which is one too many"}")
      :counters.sub(counter(), 1, 1)
    end)
  end

  def counter, do: :persistent_term.get(__MODULE__)
end

defmodule Errands.Supervisor do
  @moduledoc "Says what its children are. An errand that fails is not run again: it is :temporary."
  use Penstock.ConsumerSupervisor

  def start_link(producer), do: ConsumerSupervisor.start_link(__MODULE__, producer)

  @impl true
  def init(producer) do
    child = %{id: Errands.Errand, start: {Errands.Errand, :start_link, []}, restart: :temporary}
    # :transient: the end of the producer is the end of the work, not a failure
    from = {producer, max_demand: 3, min_demand: 1, cancel: :transient}
    ConsumerSupervisor.init([child], strategy: :one_for_one, subscribe_to: [from])
  end
end

:persistent_term.put(Errands.Errand, :counters.new(1, []))

# Any enumerable can be a producer. This one ends when there are no errands left.
{:ok, producer} = Stage.from_enumerable(1..9)
done = Process.monitor(producer)
{:ok, supervisor} = Errands.Supervisor.start_link(producer)

receive do
  {:DOWN, ^done, _, _, :normal} -> IO.puts("no errands are left")
end

# The last ones may still be at it.
for {_, pid, _, _} <- ConsumerSupervisor.which_children(supervisor) do
  monitor = Process.monitor(pid)
  receive do: ({:DOWN, ^monitor, _, _, _} -> :ok)
end

IO.puts("and none is being run: #{inspect(ConsumerSupervisor.count_children(supervisor))}")
Supervisor.stop(supervisor)
