defmodule Penstock.StageTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog

  alias Penstock.{ScriptedStage, Stage}

  @moduletag :capture_log

  defmodule Counter do
    use Penstock.Stage, restart: :temporary

    def start_link(first), do: Stage.start_link(__MODULE__, first)

    @impl true
    def init({:returns, value}), do: value
    def init(first), do: {:producer, first}

    @impl true
    def handle_demand(n, first), do: {:noreply, Enum.to_list(first..(first + n - 1)), first + n}
  end

  defmodule Collector do
    use Penstock.Stage

    def start_link({test, producer}), do: Stage.start_link(__MODULE__, {test, producer})

    @impl true
    def init({test, producer}), do: {:consumer, test, subscribe_to: [{producer, max_demand: 10}]}

    @impl true
    def handle_events(events, _from, test) do
      send(test, {:collected, events})
      {:noreply, [], test}
    end
  end

  test "a supervised producer and a supervised consumer exchange events" do
    producer = start_supervised!({Counter, 0})
    start_supervised!({Collector, {self(), producer}})
    for first <- [0, 5, 10, 15], do: assert_receive({:collected, [^first | _]})
  end

  test "the child specification takes options from use" do
    assert %{id: Counter, restart: :temporary, start: {Counter, :start_link, [7]}} = Counter.child_spec(7)
  end

  test "init may decline, or be wrong" do
    assert Stage.start(Counter, {:returns, :ignore}) == :ignore
    assert Stage.start(Counter, {:returns, {:stop, :because}}) == {:error, :because}
    assert Stage.start(Counter, {:returns, :nonsense}) == {:error, {:bad_return_value, :nonsense}}

    assert Stage.start(Counter, {:returns, {:producer, 0, :sleep}}) ==
             {:error, {:bad_return_value, {:producer, 0, :sleep}}}
  end

  test "a stage is a process as any other: calls, casts, replies, sys messages, stop" do
    script = %{
      handle_call: fn
        :later, from, script -> {:noreply, [], Map.put(script, :from, from)}
        :sleepy, _from, script -> {:reply, :zzz, [], script, :hibernate}
        :quit, _from, script -> {:stop, :normal, :bye, script}
      end,
      handle_cast: fn :now, script ->
        Stage.reply(script.from, :done)
        {:noreply, [], script}
      end
    }

    {:ok, stage} = ScriptedStage.start(:producer, [], script)
    request = :gen_server.send_request(stage, :later)
    :ok = Stage.cast(stage, :now)
    assert :gen_server.receive_response(request, 5000) == {:reply, :done}
    assert Stage.call(stage, :sleepy) == :zzz
    assert %{state: %{test: _}} = :sys.get_state(stage)
    :ok = :sys.suspend(stage)
    :ok = :sys.resume(stage)
    assert Stage.call(stage, :quit) == :bye
    assert_receive {:terminate, ^stage, :normal}

    {:ok, stage} = ScriptedStage.start(:producer)
    monitor = Process.monitor(stage)
    assert Stage.stop(stage, :shutdown) == :ok
    assert_receive {:DOWN, ^monitor, _, _, :shutdown}
    assert_received {:terminate, ^stage, :shutdown}
  end

  test "a stage begins with the heap of any process, unless told otherwise" do
    heap = fn options ->
      {:ok, stage} = ScriptedStage.start(:producer, [], %{}, options)
      {:garbage_collection, figures} = Process.info(stage, :garbage_collection)
      GenServer.stop(stage)
      figures |> Keyword.take([:min_heap_size, :fullsweep_after]) |> Map.new()
    end

    {:min_heap_size, least} = :erlang.system_info(:min_heap_size)
    assert %{min_heap_size: ^least} = heap.([])
    assert %{fullsweep_after: 7, min_heap_size: ^least} = heap.(spawn_opt: [fullsweep_after: 7])
    assert heap.(spawn_opt: [min_heap_size: 30_000]).min_heap_size >= 30_000
  end

  test "messages without a handle_info are logged" do
    producer = start_supervised!({Counter, 0})

    assert capture_log(fn ->
             send(producer, :stray)
             :sys.get_state(producer)
           end) =~ "unhandled message: :stray"
  end

  test "protocol messages of a wrong shape do no harm" do
    {:ok, producer} = ScriptedStage.start(:producer)

    for message <- [
          {:"$gen_producer", :me, {:ask, 1}},
          {:"$gen_producer", {:not_a_pid, 1}, {:subscribe, nil, []}},
          {:"$gen_producer", {self(), 1}, {:subscribe, :what, []}},
          {:"$gen_producer", {self(), 1}, {:ask, :many}},
          {:"$gen_producer", {self(), 1}, :unheard_of}
        ] do
      send(producer, message)
      assert_receive {:handle_info, ^producer, ^message}
    end
  end

  test "asking how much is buffered is for producers" do
    {:ok, consumer} = ScriptedStage.start(:consumer)

    assert capture_log(fn -> assert Stage.estimate_buffered_count(consumer) == 0 end) =~
             "only be requested for producers"
  end

  test "a consumer has nothing buffered: messages of sync_info come at once" do
    {:ok, consumer} = ScriptedStage.start(:consumer)
    :ok = Stage.sync_info(consumer, :now)
    assert_receive {:handle_info, ^consumer, :now}
  end

  test "the status names the kind of stage and who is subscribed" do
    {:ok, producer} = ScriptedStage.start(:producer)
    {:ok, consumer} = ScriptedStage.start(:consumer, subscribe_to: [producer])
    assert_receive {:handle_demand, ^producer, 1000}
    assert inspect(:sys.get_status(producer), limit: :infinity) =~ ~r/Consumers[^}]*#{inspect(consumer)}/
    assert inspect(:sys.get_status(consumer), limit: :infinity) =~ ~r/Producers[^}]*#{inspect(producer)}/
  end

  test "the module says how its state is shown and how it is changed to new code" do
    defmodule Changing do
      use Penstock.Stage
      def init(state), do: {:producer, state}
      def handle_call(:state, _from, state), do: {:reply, state, [], state}
      def format_status(:normal, [_dictionary, _state]), do: :shown
      def code_change(_old, _state, :fails), do: {:error, :no}
      def code_change(_old, state, extra), do: {:ok, {state, extra}}
    end

    {:ok, stage} = Stage.start(Changing, :old)
    assert inspect(:sys.get_status(stage)) =~ ":shown"
    :ok = :sys.suspend(stage)
    assert {:error, _} = :sys.change_code(stage, Changing, "1", :fails)
    :ok = :sys.change_code(stage, Changing, "1", :new)
    :ok = :sys.resume(stage)
    assert Stage.call(stage, :state) == {:old, :new}
  end
end
