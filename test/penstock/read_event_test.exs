defmodule Penstock.ReadEventTest do
  use ExUnit.Case, async: true

  alias Penstock.{Event, EventStore}

  setup do
    server = start_supervised!({EventStore.Server, port: 0, data_dir: :memory})

    {:ok,
     store: start_supervised!({EventStore, connection_string: EventStore.Server.connection_string(server)})}
  end

  defp stored(store, events, options \\ []) do
    {:ok, _} = EventStore.append(store, "s", events)
    {:ok, read} = EventStore.read(store, "s", options)
    read
  end

  test "an event that is read has its whole place and what its writer gave it", %{store: store} do
    earlier = DateTime.utc_now()
    id = "0000ABCD-0000-0000-0000-000000000001"

    [_, event] =
      stored(store, [Event.new("T", 1), Event.new("T", %{"a" => 1}, id: id, custom_metadata: "own")])

    assert %Event{id: "0000abcd-0000-0000-0000-000000000001", type: "T", body: %{"a" => 1}, link: nil} = event

    assert Enum.sort(Map.keys(event.metadata)) ==
             ~w(commit_position content_type created custom_metadata prepare_position producer stream_name)a ++
               ~w(stream_revision subscription)a

    assert %{stream_name: "s", stream_revision: 1, content_type: "application/json", custom_metadata: "own"} =
             event.metadata

    assert event.metadata.commit_position == event.metadata.prepare_position
    assert %DateTime{time_zone: "Etc/UTC", microsecond: {_, 6}} = created = event.metadata.created
    assert DateTime.diff(created, earlier, :second) in -1..60
    assert {:ok, ^created, 0} = created |> DateTime.to_iso8601() |> DateTime.from_iso8601()
    assert Event.revision(event) == 1
  end

  test "a body is its term, or undecodable, or the binary that was stored", %{store: store} do
    binary = fn data -> Event.new("B", data, content_type: "application/octet-stream") end

    events = [
      Event.new("T", [nil, 2 ** 70, "é"]),
      Event.new("T", {:raw, "{nonsense"}),
      Event.new("T", {:raw, ""}),
      binary.("{}"),
      binary.(""),
      binary.(<<0, 255>>)
    ]

    bodies = for event <- stored(store, events), do: event.body

    assert bodies == [
             [nil, 2 ** 70, "é"],
             {:undecodable, "{nonsense"},
             {:undecodable, ""},
             "{}",
             "",
             <<0, 255>>
           ]
  end

  test "bodies are binaries as they were stored when the reader asks for raw ones", %{store: store} do
    [event] = stored(store, Event.new("T", {:raw, ~s( {"a": 1} )}), json: :raw)
    assert event.body == ~s( {"a": 1} )
  end

  test "bodies of every size around the heap's limit arrive as they are, beside events of other types", %{
    store: store
  } do
    sizes = [1, 63, 64, 65, 66, 1000, 70_000]
    events = for size <- sizes, do: Event.new("size-#{size}", {:raw, String.duplicate("x", size)})
    read = stored(store, events, json: :raw)

    assert for(event <- read, do: {event.type, event.body}) ==
             for(event <- events, do: {event.type, elem(event.body, 1)})

    assert for(event <- read, do: event.metadata.stream_name) |> Enum.uniq() == ["s"]
  end

  test "a body outlives the events that were read with it", %{store: store} do
    body = String.duplicate("0123456789", 100)
    events = for n <- 1..50, do: Event.new("T", {:raw, body <> "#{n}"})
    kept = stored(store, events, json: :raw) |> Enum.at(24) |> Map.fetch!(:body)
    for _ <- 1..20, do: EventStore.read(store, "s", json: :raw)
    :erlang.garbage_collect()
    assert kept == body <> "25"
  end
end
