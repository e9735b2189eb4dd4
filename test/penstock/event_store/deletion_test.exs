defmodule Penstock.EventStore.DeletionTest do
  use ExUnit.Case, async: true

  import Penstock.Store

  alias Penstock.{Error, Event, EventStore, Position, StreamMetadata}

  setup do
    start()
  end

  defp put(store, stream, count) do
    {:ok, _} = EventStore.append(store, stream, for(number <- 1..count, do: Event.new("T", number)))
    :ok
  end

  describe "delete" do
    test "hides what there was, and the stream goes on with its next revision", %{store: store} do
      put(store, "s", 3)
      assert {:ok, %{position: %Position{}}} = EventStore.delete(store, "s")
      assert {:error, %Error{reason: :stream_not_found}} = EventStore.read(store, "s")
      assert {:error, %Error{reason: :stream_not_found}} = EventStore.current_revision(store, "s")
      put(store, "s", 1)
      assert {:ok, [%Event{} = event]} = EventStore.read(store, "s")
      assert Event.revision(event) == 3
    end

    test "expects what it is told to, and cannot delete what is not there", %{store: store} do
      put(store, "s", 2)

      for {stream, expect} <- [{"s", 0}, {"s", :no_stream}, {"none", :any}] do
        assert {:error, %Error{reason: :wrong_expected_version}} =
                 EventStore.delete(store, stream, expect: expect)
      end

      assert {:ok, _} = EventStore.delete(store, "s", expect: 1)
    end
  end

  describe "tombstone" do
    test "is for ever, also of a stream that was never there", %{store: store} do
      put(store, "s", 2)

      for {stream, expect} <- [{"s", 1}, {"none", :no_stream}] do
        assert {:ok, %{position: %Position{}}} = EventStore.tombstone(store, stream, expect: expect)
        assert {:error, %Error{reason: :stream_deleted, details: details}} = EventStore.read(store, stream)
        assert details.stream == stream

        for write <- [&EventStore.delete/2, &EventStore.tombstone/2, &EventStore.append(&1, &2, [])],
            do: assert({:error, %Error{reason: :stream_deleted}} = write.(store, stream))
      end
    end

    test "takes the options of an append, by name", %{store: store} do
      for function <- [:delete, :tombstone],
          do:
            assert_raise(ArgumentError, ~r/EventStore.#{function}: option :expect takes/, fn ->
              apply(EventStore, function, [store, "s", [expect: :sometimes]])
            end)
    end
  end

  test "the current revision is the last event's, also of a stream of which nothing can be read", %{
    store: store
  } do
    assert {:error, %Error{reason: :stream_not_found}} = EventStore.current_revision(store, "s")
    put(store, "s", 5)
    assert EventStore.current_revision(store, "s") == {:ok, 4}
    {:ok, _} = EventStore.set_metadata(store, "s", %StreamMetadata{truncate_before: 100})
    assert EventStore.read(store, "s") == {:ok, []}
    assert EventStore.current_revision(store, "s") == {:ok, 4}
  end
end
