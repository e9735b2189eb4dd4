defmodule Penstock.Soak.Kills.Gardener do
  @moduledoc false
  # Appends to a stream of its own, limits it and deletes it, each step again and again until it is acknowledged, and
  # knows what must be readable in between.

  import Penstock.Soak.Fault

  alias Penstock.{Error, Event, EventStore}
  alias Penstock.Soak.{Dice, Rpc, Writer}

  @retry_after 20

  def start_link(name, store, port, ledger, seed) do
    spawn_link(fn ->
      Dice.take(seed, {:gardener, name})
      # ids: what was appended since the last delete; first: the revision of the first of them.
      garden = %{stream: "garden-#{name}", ids: [], first: 0, next: 0, limit: nil, described?: false, turn: 0}
      tend(Map.merge(garden, %{store: store, port: port, ledger: ledger}))
    end)
  end

  defp tend(garden) do
    receive do
      :finish -> look(garden)
    after
      0 ->
        step = Dice.weigh(append: 60, look: 15, limit: 8, describe: 5, delete: 12)
        tend(%{step(step, garden) | turn: garden.turn + 1})
    end
  end

  defp step(:append, garden) do
    events = Writer.events(garden.stream, garden.next, Dice.between(1, 10))
    expect = if garden.ids != [] and Dice.chance(50), do: garden.next - 1, else: :any
    appended = Writer.append(garden.store, garden.stream, events, garden.ledger, expect: expect)
    last = garden.next + length(events) - 1
    law(appended.revision == last, "#{garden.stream}: #{inspect(appended)} where #{last} was to come")
    first = if garden.ids == [], do: garden.next, else: garden.first
    %{garden | ids: garden.ids ++ Enum.map(events, & &1.id), first: first, next: last + 1}
  end

  defp step(:look, garden), do: look(garden)

  # Keeps hidden what was deleted before.
  defp step(:limit, %{ids: [_ | _]} = garden) do
    limit = Dice.between(1, 30)
    describe(garden, %{"$maxCount" => limit, "$tb" => garden.first})
    %{garden | limit: limit}
  end

  # On a deleted stream, too: what was deleted stays so. (The server adds where the stream goes on; metadata without
  # that, set again, lifts it, as with EventStoreDB.)
  defp step(:describe, %{ids: [], described?: false} = garden) do
    describe(garden, %{"turn" => garden.turn})
    %{garden | described?: true}
  end

  defp step(:delete, %{ids: [_ | _]} = garden) do
    delete(garden)
    %{garden | ids: [], limit: nil, described?: false}
  end

  defp step(_nothing_to_do, garden), do: garden

  defp describe(garden, metadata) do
    event = Event.new("$metadata", metadata, id: Dice.uuid())
    Writer.append(garden.store, "$$" <> garden.stream, [event], garden.ledger)
  end

  defp delete(garden) do
    case Rpc.delete(garden.port, garden.stream, :soft) do
      :ok ->
        :ok

      {:error, {:status, trailers}} ->
        law(
          trailers["grpc-status"] in ["1", "14"],
          "#{garden.stream}: a delete was refused: #{brief(trailers)}"
        )

        again(garden)

      {:error, _the_road} ->
        again(garden)
    end
  end

  defp again(garden) do
    Process.sleep(@retry_after)
    delete(garden)
  end

  defp look(garden) do
    case EventStore.read(garden.store, garden.stream, max_count: 100_000, json: :raw) do
      {:error, %Error{retry?: true, reason: reason}} when reason != :stream_not_found ->
        Process.sleep(@retry_after)
        look(garden)

      {:ok, events} ->
        same(garden, Enum.map(events, & &1.id))

      {:error, %Error{reason: :stream_not_found}} ->
        same(garden, [])

      {:error, error} ->
        law(false, "#{garden.stream} cannot be read: #{brief(error)}")
    end
  end

  defp same(garden, found) do
    wanted = if garden.limit, do: Enum.take(garden.ids, -garden.limit), else: garden.ids

    law(
      found == wanted,
      "#{garden.stream} after #{garden.turn} steps: #{length(found)} events are readable, #{length(wanted)} were " <>
        "acknowledged and not deleted since, the last #{brief(List.last(wanted))}; " <>
        "one too many: #{brief(List.last(found -- wanted))}, one missing: #{brief(List.last(wanted -- found))}"
    )

    garden
  end
end
