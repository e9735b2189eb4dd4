defmodule Penstock.RemoteStages do
  @moduledoc false
  # Stages that another node can start: it has their modules only when they are compiled to files.

  defmodule Consumer do
    use Penstock.Stage

    @impl true
    def init({producer, test}), do: init({producer, test, []})

    def init({producer, test, options}),
      do: {:consumer, test, subscribe_to: [{producer, [max_demand: 100] ++ options}]}

    @impl true
    def handle_events(events, _from, test) do
      send(test, {:handled, node(), Enum.map(events, &revision/1)})
      {:noreply, [], test}
    end

    defp revision(%{metadata: %{stream_revision: revision}}), do: revision
    defp revision(number), do: number
  end

  defmodule Counter do
    use Penstock.Stage

    @impl true
    def init(next), do: {:producer, next}

    @impl true
    def handle_demand(demand, next), do: {:noreply, Enum.to_list(next..(next + demand - 1)), next + demand}
  end
end
