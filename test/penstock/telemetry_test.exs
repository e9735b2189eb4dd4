defmodule Penstock.TelemetryTest do
  # Not async: it plays the telemetry library, which all stages find then.
  use ExUnit.Case, async: false

  import Penstock.StageWire

  alias Penstock.{ScriptedStage, Stage, Telemetry}

  @moduletag :capture_log

  setup do
    test = self()
    :persistent_term.put(__MODULE__, test)

    execute =
      quote do
        def execute(event, measurements, metadata),
          do: send(:persistent_term.get(unquote(__MODULE__)), {:telemetry, event, measurements, metadata})
      end

    Module.create(:telemetry, execute, Macro.Env.location(__ENV__))

    on_exit(fn ->
      :code.purge(:telemetry)
      :code.delete(:telemetry)
    end)
  end

  defp start(type, options \\ [], script \\ %{}) do
    {:ok, pid} = ScriptedStage.start(type, options, script)
    on_exit(fn -> Process.exit(pid, :kill) end)
    pid
  end

  test "both sides of a subscription tell of its beginning and its end" do
    producer = start(:producer)
    consumer = start(:consumer, subscribe_to: [{producer, cancel: :temporary, max_demand: 3}])
    assert_receive {:handle_demand, ^producer, 3}

    assert_received {:telemetry, [:penstock, :stage, :subscribed], %{system_time: _},
                     %{stage: ^consumer, role: :producer, peer: ^producer, tag: tag, module: ScriptedStage}}

    assert_received {:telemetry, [:penstock, :stage, :subscribed], %{system_time: _},
                     %{stage: ^producer, role: :consumer, peer: ^consumer, tag: ^tag, type: :producer}}

    # An event that came shows that the producer's monitor did, too: else the reason would be :noproc.
    Stage.cast(producer, {:emit, [1]})
    assert_receive {:handle_events, ^consumer, [1], _from}
    Process.exit(consumer, :kill)

    assert_receive {:telemetry, [:penstock, :stage, :cancelled], %{system_time: _},
                    %{stage: ^producer, role: :consumer, peer: ^consumer, kind: :down, reason: :killed}}
  end

  test "the end of a producer is told by its consumer" do
    producer = start(:producer)
    consumer = start(:consumer, subscribe_to: [{producer, cancel: :temporary}])
    Stage.stop(producer)

    assert_receive {:telemetry, [:penstock, :stage, :cancelled], _,
                    %{stage: ^consumer, role: :producer, peer: ^producer, kind: :down, reason: :normal}}
  end

  test "discarded events are counted, whatever the log is told" do
    producer = start(:producer, buffer_size: 2)
    Stage.cast(producer, {:emit, [1, 2, 3, 4, 5]})
    assert_receive {:telemetry, [:penstock, :stage, :discarded], %{count: 3}, %{stage: ^producer}}
  end

  test "a pause is told, and its end with the number of events held" do
    producer = start(:producer)
    :ok = Stage.pause(producer)
    assert_received {:telemetry, [:penstock, :stage, :paused], %{system_time: _}, %{stage: ^producer}}
    Stage.cast(producer, {:emit, [1, 2]})
    :ok = Stage.resume(producer)
    assert_received {:telemetry, [:penstock, :stage, :resumed], %{held: 2}, %{stage: ^producer}}
  end

  test "a stage's figures are told when they are asked for" do
    producer = start(:producer)
    ask(producer, subscribe(producer), 5)
    assert %{demand: 5} = Telemetry.poll(producer)

    assert_received {:telemetry, [:penstock, :stage, :info],
                     %{demand: 5, buffered: 0, held: 0, waiting: 0, consumers: 1, producers: 0},
                     %{stage: ^producer, type: :producer, module: ScriptedStage}}
  end
end
