defmodule Penstock.Stage.NamesTest do
  # Every kind of process name, for stages and for those they subscribe to.
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog
  import Penstock.StageWire

  alias Penstock.{ScriptedStage, Stage}

  @moduletag :capture_log

  setup_all do
    start_supervised!({Registry, keys: :unique, name: Penstock.Stage.NamesTest.Registry})
    :ok
  end

  defp names do
    [
      {:local, :"a stage by its name", :"a stage by its name"},
      {:global, {:global, {:stage, 1}}, {:global, {:stage, 1}}},
      {:via, {:via, Registry, {Penstock.Stage.NamesTest.Registry, "stage"}},
       {:via, Registry, {Penstock.Stage.NamesTest.Registry, "stage"}}},
      {:node, :"a stage by name and node", {:"a stage by name and node", node()}}
    ]
  end

  test "a stage answers to every kind of name, and a consumer subscribes to every kind" do
    for {_kind, registered, name} <- names() do
      {:ok, producer} = ScriptedStage.start(:producer, [], %{}, name: registered)
      assert Stage.call(name, :hello) == :ok
      assert Stage.demand(name) == :forward
      assert Stage.estimate_buffered_count(name) == 0

      {:ok, consumer} = ScriptedStage.start(:consumer)
      assert {:ok, _tag} = Stage.sync_subscribe(consumer, to: name, max_demand: 3)
      assert_receive {:handle_demand, ^producer, 3}

      {:ok, other} = ScriptedStage.start(:consumer, subscribe_to: [{name, cancel: :temporary, max_demand: 2}])
      assert_receive {:handle_demand, ^producer, 2}

      Stage.cast(name, {:emit, [1]})
      assert_receive {:handle_events, _consumer, [1], _from}
      assert Stage.stop(name) == :ok
      monitor = Process.monitor(consumer)
      assert_receive {:DOWN, ^monitor, _, _, _reason}
      settle(other)
      GenServer.stop(other)
    end
  end

  test "a name that another stage has is refused with the other's pid" do
    {:ok, first} = ScriptedStage.start(:producer, [], %{}, name: :"taken by a stage")

    assert ScriptedStage.start(:consumer, [], %{}, name: :"taken by a stage") ==
             {:error, {:already_started, first}}

    GenServer.stop(first)
  end

  test "a tuple name without options is understood in subscribe_to, with a warning that it is ambiguous" do
    name = {:global, {:stage, :bare}}
    {:ok, producer} = ScriptedStage.start(:producer, [], %{}, name: name)

    log =
      capture_log(fn ->
        {:ok, _consumer} = ScriptedStage.start(:consumer, subscribe_to: [name])
        assert_receive {:handle_demand, ^producer, 1000}
      end)

    assert log =~ "deprecated"
    assert log =~ inspect({name, []})
    GenServer.stop(producer)
  end
end
