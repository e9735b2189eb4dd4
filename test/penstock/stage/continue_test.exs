defmodule Penstock.Stage.ContinueTest do
  # `{:continue, _}` and `:hibernate` in init and callbacks, as GenServer has them.
  use ExUnit.Case, async: true

  import Penstock.StageWire

  alias Penstock.{ScriptedStage, Stage}

  @moduletag :capture_log

  defmodule Starter do
    use Stage

    def init(init), do: init

    def handle_demand(n, state) do
      send(state.test, {:demanded, n})
      {:noreply, [], state}
    end

    def handle_continue(argument, state) do
      send(state.test, {:continued, self(), argument})
      Map.get(state, :answer, &{:noreply, [], &1}).(state)
    end

    def handle_events(_events, _from, state), do: {:noreply, [], state}
    def handle_call(request, _from, state), do: {:reply, request, [], state}
  end

  defp start(init) do
    {:ok, pid} = Stage.start(Starter, init)
    on_exit(fn -> Process.exit(pid, :kill) end)
    pid
  end

  defp scripted(type, script, options \\ []) do
    {:ok, pid} = ScriptedStage.start(type, options, script)
    on_exit(fn -> Process.exit(pid, :kill) end)
    pid
  end

  defp asleep?(pid) do
    Process.info(pid, :current_function) == {:current_function, {:erlang, :hibernate, 3}}
  end

  defp await_sleep(pid), do: asleep?(pid) || (:erlang.yield() && await_sleep(pid))

  test "init goes on with handle_continue before any message, with options or without" do
    state = %{test: self()}

    for init <- [
          {:producer, state, {:continue, :on}},
          {:producer, state, [buffer_size: 3], {:continue, :on}},
          {:consumer, state, {:continue, :on}},
          {:producer_consumer, state, [], {:continue, :on}}
        ] do
      pid = start(init)
      assert Stage.call(pid, :hello) == :hello
      assert_received {:continued, ^pid, :on}
    end
  end

  test "init may hibernate at once, with options or without" do
    state = %{test: self()}

    for init <- [{:consumer, state, :hibernate}, {:producer, state, [demand: :accumulate], :hibernate}] do
      pid = start(init)
      assert await_sleep(pid)
      assert Stage.call(pid, :hello) == :hello
    end
  end

  test "what is neither is a bad return value, and wrong options are told with it" do
    assert {:error, {:bad_return_value, {:consumer, :state, :sleep}}} =
             Stage.start(Starter, {:consumer, :state, :sleep})

    assert {:error, {:bad_return_value, {:producer, :state, [], {:go, 1}}}} =
             Stage.start(Starter, {:producer, :state, [], {:go, 1}})

    assert {:error, {:bad_opts, _message}} =
             Stage.start(Starter, {:producer, :state, [unheard_of: 1], {:continue, :on}})
  end

  test "handle_continue may emit, continue, hibernate and stop" do
    emit = fn %{answer: _} = state -> {:noreply, [1, 2], Map.delete(state, :answer), {:continue, :again}} end
    pid = start({:producer, %{test: self(), answer: emit}, {:continue, :first}})
    assert Stage.estimate_buffered_count(pid) == 2
    assert_received {:continued, ^pid, :first}
    assert_received {:continued, ^pid, :again}

    assert await_sleep(
             start({:producer, %{test: self(), answer: &{:noreply, [], &1, :hibernate}}, {:continue, 1}})
           )

    {:ok, pid} =
      Stage.start(Starter, {:producer, %{test: self(), answer: &{:stop, :enough, &1}}, {:continue, 1}})

    monitor = Process.monitor(pid)
    assert_receive {:DOWN, ^monitor, _, _, reason} when reason in [:enough, :noproc]
  end

  test "without a handle_continue it ends as a GenServer does" do
    pid = scripted(:producer, %{handle_cast: fn _, script -> {:noreply, [], script, {:continue, :on}} end})
    monitor = Process.monitor(pid)
    Stage.cast(pid, :go)
    assert_receive {:DOWN, ^monitor, _, _, {:undef, [{ScriptedStage, :handle_continue, [:on, _], _} | _]}}
  end

  defmodule Steps do
    use Stage

    def init({type, test}), do: {type, test, if(type == :producer, do: [], else: [subscribe_to: []])}
    def step(name, events, test), do: {:noreply, events, tap(test, &send(&1, name)), {:continue, name}}
    def handle_demand(n, test), do: step({:demand, n}, Enum.to_list(1..n), test)
    def handle_events(events, _from, test), do: step({:events, events}, [], test)
    def handle_subscribe(_side, _options, _from, test), do: {:automatic, test}
    def handle_cancel(_reason, _from, test), do: step(:cancel, [], test)
    def handle_cast(request, test), do: step({:cast, request}, [], test)
    def handle_info(message, test), do: step({:info, message}, [], test)

    def handle_call(:reply, _from, test), do: {:reply, :replied, [:event], test, {:continue, :call}}

    def handle_continue(name, test) do
      send(test, {:after, name})
      {:noreply, [], test}
    end
  end

  defp steps(type) do
    {:ok, pid} = Stage.start(Steps, {type, self()})
    on_exit(fn -> Process.exit(pid, :kill) end)
    pid
  end

  # What the stage has told, in order.
  defp told(pid) do
    settle(pid)
    received()
  end

  defp received do
    receive do
      {:"$gen_consumer", _from, _content} -> received()
      {:"$gen_producer", _from, _content} -> received()
      told -> [told | received()]
    after
      0 -> []
    end
  end

  test "every callback may be followed by handle_continue, and nothing comes in between" do
    producer = steps(:producer)
    tag = subscribe(producer)
    ask(producer, tag, 2)
    Stage.cast(producer, 1)
    send(producer, :hello)
    cancel(producer, tag, :over)

    assert told(producer) ==
             Enum.flat_map([{:demand, 2}, {:cast, 1}, {:info, :hello}, :cancel], &[&1, {:after, &1}])

    consumer = steps(:consumer)
    {:ok, tag} = Stage.sync_subscribe(consumer, to: self(), max_demand: 2, min_demand: 1, cancel: :temporary)
    send_events(consumer, tag, [1, 2])
    send_cancel(consumer, tag, :over)

    # batch by batch, as if there were no other
    assert told(consumer) == Enum.flat_map([{:events, [1]}, {:events, [2]}, :cancel], &[&1, {:after, &1}])
  end

  test "a reply is sent before handle_continue is called, and the events of the callback are dispatched before" do
    producer = steps(:producer)
    assert Stage.call(producer, :reply) == :replied
    assert Stage.estimate_buffered_count(producer) == 1
    assert told(producer) == [{:after, :call}]
  end
end
