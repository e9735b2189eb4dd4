defmodule Penstock.Soak.Consumer do
  @moduledoc false
  # An ordinary consumer of a reader: one that is slow, or dies now and then, if its kind says so.

  use Penstock.Stage

  alias Penstock.Soak.{Dice, Notebook}

  def start_link(settings), do: Penstock.Stage.start_link(__MODULE__, settings)

  @impl true
  def init(%{dice: {seed, name}, kind: kind, producer: producer} = settings) do
    Dice.take(seed, name)
    # Several consumers have no position to go on at together; one goes with its producer.
    if kind.hands == 1, do: Process.link(producer)
    {:consumer, settings, subscribe_to: [{producer, max_demand: kind.max_demand}]}
  end

  @impl true
  def handle_events(events, _from, settings) do
    Notebook.came(events)
    Enum.each(events, &handle(&1, settings))
    {:noreply, [], settings}
  end

  defp handle(event, settings) do
    if settings.kind.shape == :dying and Dice.chance(1), do: exit(:tired)
    if settings.kind.shape == :slow and Dice.chance(5), do: Process.sleep(Dice.between(1, 20))
    Notebook.note(settings.notebook, settings.hand, event)
  end
end
