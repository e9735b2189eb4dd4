defmodule Penstock.EventStore.MetadataTest do
  use ExUnit.Case, async: true

  import Penstock.Store

  alias Penstock.{Error, Event, EventStore, StreamMetadata}

  setup do
    start()
  end

  @whole %StreamMetadata{
    max_count: 2,
    max_age: 86_400,
    truncate_before: 1,
    cache_control: 60,
    acl: %{read: "$all", write: ["ops", "clerks"], meta_write: "$admins"},
    custom: %{"owner" => "sales", "tags" => [1, nil]}
  }

  test "what is set is got, with its revision, and nothing where nothing is set", %{store: store} do
    assert EventStore.get_metadata(store, "s") == {:ok, %StreamMetadata{}}
    assert {:ok, %{revision: 0}} = EventStore.set_metadata(store, "s", @whole, expect: :no_stream)
    assert EventStore.get_metadata(store, "s") == {:ok, %{@whole | revision: 0}}
    assert {:ok, %{revision: 1}} = EventStore.set_metadata(store, "s", %StreamMetadata{}, expect: 0)
    assert EventStore.get_metadata(store, "s") == {:ok, %StreamMetadata{revision: 1}}

    assert {:error, %Error{reason: :wrong_expected_version}} =
             EventStore.set_metadata(store, "s", @whole, expect: 0)
  end

  test "limits are the stream's at once", %{store: store} do
    {:ok, _} = EventStore.append(store, "s", for(number <- 1..5, do: Event.new("T", number)))
    {:ok, _} = EventStore.set_metadata(store, "s", %StreamMetadata{max_count: 2})
    {:ok, events} = EventStore.read(store, "s")
    assert Enum.map(events, & &1.body) == [4, 5]
  end

  test "what others wrote is read as far as it means something", %{store: store} do
    odd = %{"$maxCount" => "many", "$maxAge" => 0, "$tb" => 3, "$acl" => 7, "$mine" => true}
    {:ok, _} = EventStore.append(store, "$$s", Event.new("$metadata", odd))
    assert {:ok, metadata} = EventStore.get_metadata(store, "s")
    assert metadata == %StreamMetadata{truncate_before: 3, custom: %{"$mine" => true}, revision: 0}
    {:ok, _} = EventStore.append(store, "$$s", Event.new("$metadata", {:raw, "no JSON"}))

    assert {:error, %Error{reason: :protocol, details: %{revision: 1}}} = EventStore.get_metadata(store, "s")
  end

  test "what no server would take as it is meant is refused by name", %{store: store} do
    for {metadata, what} <- [
          {%StreamMetadata{max_count: 0}, ~r/:max_count takes nil or an integer from 1/},
          {%StreamMetadata{max_age: 1.5}, ~r/:max_age takes/},
          {%StreamMetadata{truncate_before: -1}, ~r/:truncate_before takes nil or an integer from 0/},
          {%StreamMetadata{acl: %{reed: "a"}}, ~r/:acl takes \[:read, :write/},
          {%StreamMetadata{acl: %{read: :all}}, ~r/:acl takes/},
          {%StreamMetadata{acl: []}, ~r/:acl takes nil or a map/},
          {%StreamMetadata{custom: %{a: 1}}, ~r/:custom takes strings as keys/},
          {%StreamMetadata{custom: %{"$tb" => 1}}, ~r/:custom takes strings as keys, but for/}
        ] do
      assert_raise ArgumentError, what, fn -> EventStore.set_metadata(store, "s", metadata) end
    end

    assert EventStore.get_metadata(store, "s") == {:ok, %StreamMetadata{}}
  end
end
