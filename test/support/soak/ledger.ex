defmodule Penstock.Soak.Ledger do
  @moduledoc false
  # What was tried to be written, and what of it was acknowledged; written down before the next thing is done, so that it
  # outlives whoever writes.

  import Penstock.Soak.Fault

  def new, do: :ets.new(__MODULE__, [:public, :bag])

  @doc "These events are about to be appended."
  def tried(ledger, stream, events) do
    for event <- events, do: :ets.insert(ledger, {{:tried, event.id}, stream})
    :ok
  end

  @doc "They are written: the last of them has this revision."
  def acknowledged(ledger, stream, events, revision) do
    :ets.insert(ledger, {:acknowledged, stream, Enum.map(events, & &1.id), revision})
    :ok
  end

  def acknowledged(ledger),
    do: for({_, stream, ids, revision} <- :ets.lookup(ledger, :acknowledged), do: {stream, ids, revision})

  def count(ledger), do: length(:ets.lookup(ledger, :acknowledged))

  @doc """
  The laws of writing, for `{stream, revision, id}` as they stand, in order: all that was acknowledged is there, where it
  was said to be; nothing is there twice, nor what nobody wrote; no revision is left out.

  `ledger` may be a list that `acknowledged/1` gave earlier, for while writing goes on.
  """
  def check(found, ledger, acknowledged \\ nil) do
    places = Map.new(found, fn {stream, revision, id} -> {{stream, revision}, id} end)
    in_order(found)
    once(found, ledger)

    for {stream, ids, last} <- acknowledged || acknowledged(ledger),
        {id, revision} <- Enum.zip(ids, Enum.to_list((last - length(ids) + 1)..last)) do
      there = places[{stream, revision}]
      law(there == id, "#{stream}/#{revision} was acknowledged as event #{id}; there is #{inspect(there)}")
    end

    :ok
  end

  defp in_order(found) do
    Enum.reduce(found, %{}, fn {stream, revision, _id}, next ->
      due = Map.get(next, stream, 0)
      law(revision == due, "#{stream}: revision #{revision} where #{due} was to come")
      Map.put(next, stream, revision + 1)
    end)
  end

  defp once(found, ledger) do
    Enum.reduce(found, MapSet.new(), fn {stream, revision, id}, seen ->
      law(id not in seen, "#{stream}/#{revision}: event #{id} is there a second time")

      law(
        :ets.lookup(ledger, {:tried, id}) == [{{:tried, id}, stream}],
        "#{stream}/#{revision}: nobody wrote event #{id} there"
      )

      MapSet.put(seen, id)
    end)
  end
end
