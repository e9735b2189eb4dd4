defmodule Penstock.ConsumerSupervisorTest do
  use ExUnit.Case, async: true

  import Penstock.StageWire

  alias Penstock.{ConsumerSupervisor, Stage}

  @moduletag :capture_log

  # A child tells the test who it is and ends as the test tells it to; an event may also be what starting it returns.
  defmodule Child do
    def start_link(test, {:returns, answer}) do
      send(test, {:asked, answer})
      answer
    end

    def start_link(_test, {:raises, message}), do: raise(message)
    def start_link(_test, {:throws, value}), do: throw(value)
    def start_link(_test, {:exits, reason}), do: exit(reason)

    def start_link(test, {:fails_again, counter}) do
      # the second start and the third fail
      case :counters.get(counter, 1) do
        n when n in [1, 2] ->
          :counters.add(counter, 1, 1)
          send(test, {:failed, n})
          {:error, :not_yet}

        _ ->
          :counters.add(counter, 1, 1)
          run(test, :fails_again)
      end
    end

    def start_link(test, {:info, event}) do
      {:ok, pid} = run(test, event)
      {:ok, pid, :some_info}
    end

    def start_link(test, event), do: run(test, event)

    defp run(test, event) do
      {:ok,
       spawn_link(fn ->
         if event == :stubborn, do: Process.flag(:trap_exit, true)
         send(test, {:child, self(), event})
         wait(test, event)
       end)}
    end

    defp wait(test, event) do
      receive do
        {:end, reason} ->
          exit(reason)

        {:EXIT, _supervisor, reason} ->
          send(test, {:told, event, reason})
          wait(test, event)
      end
    end
  end

  defmodule Configured do
    use Penstock.ConsumerSupervisor, restart: :temporary

    def start_link(agent), do: ConsumerSupervisor.start_link(__MODULE__, agent)

    @impl true
    def init(agent) when is_pid(agent), do: Agent.get(agent, & &1)
    def init(answer), do: answer
  end

  defp child(options \\ []) do
    Map.merge(%{id: Child, start: {Child, :start_link, [self()]}, restart: :temporary}, Map.new(options))
  end

  defp start(child_options \\ [], options \\ []) do
    {:ok, supervisor} =
      ConsumerSupervisor.start_link([child(child_options)], [strategy: :one_for_one] ++ options)

    Process.unlink(supervisor)
    on_exit(fn -> Process.exit(supervisor, :kill) end)
    supervisor
  end

  # The test plays the producer.
  defp subscribe_to_test(supervisor, options) do
    {:ok, tag} = Stage.sync_subscribe(supervisor, [to: self()] ++ options)
    max = Keyword.fetch!(options, :max_demand)
    {^tag, _options} = accept(supervisor, max)
    tag
  end

  # Children run at once, so what they say may come in any order.
  defp children(n) do
    for _ <- 1..n do
      assert_receive {:child, pid, event}
      {event, pid}
    end
    |> Enum.sort()
  end

  defp finish(pid, reason \\ :normal) do
    monitor = Process.monitor(pid)
    send(pid, {:end, reason})
    assert_receive {:DOWN, ^monitor, _, _, _}
  end

  defp asked(supervisor, tag) do
    settle(supervisor)

    receive do
      {:"$gen_producer", {^supervisor, ^tag}, {:ask, n}} -> n + asked(supervisor, tag)
    after
      0 -> 0
    end
  end

  test "a child is started for every event, with the event behind the template's arguments" do
    supervisor = start()
    tag = subscribe_to_test(supervisor, max_demand: 4)
    send_events(supervisor, tag, [:a, :b, :c])
    assert [{:a, one}, {:b, _}, {:c, _}] = children(3)
    assert ConsumerSupervisor.count_children(supervisor) == %{specs: 1, active: 3, supervisors: 0, workers: 3}
    assert {:undefined, one, :worker, [Child]} in ConsumerSupervisor.which_children(supervisor)
  end

  test "as many events are asked for again as children have ended, once they are min_demand" do
    supervisor = start()
    tag = subscribe_to_test(supervisor, max_demand: 4, min_demand: 2)
    send_events(supervisor, tag, [:a, :b, :c, :d])
    [{:a, a}, {:b, b}, {:c, c}, {:d, _d}] = children(4)
    finish(a)
    assert asked(supervisor, tag) == 0
    finish(b, :oops)
    assert asked(supervisor, tag) == 2
    finish(c, {:shutdown, :done})
    assert asked(supervisor, tag) == 0
  end

  test "no more than max_demand children of a producer run at the same time" do
    {:ok, producer} = Stage.from_enumerable(1..50, link: false)
    supervisor = start([], subscribe_to: [{producer, max_demand: 5, min_demand: 1, cancel: :temporary}])

    started =
      for _ <- 1..10, reduce: 0 do
        n ->
          batch = children(5)
          assert ConsumerSupervisor.count_children(supervisor).active == 5
          refute_received {:child, _, _}
          for {_event, pid} <- batch, do: finish(pid)
          n + 5
      end

    assert started == 50
  end

  test "a child that declines or fails to start frees its demand at once" do
    supervisor = start()
    tag = subscribe_to_test(supervisor, max_demand: 6, min_demand: 1)

    send_events(supervisor, tag, [
      {:returns, :ignore},
      {:returns, {:error, :no}},
      {:returns, :nonsense},
      {:raises, "no"},
      {:throws, :no},
      {:exits, :no}
    ])

    assert asked(supervisor, tag) == 6
    assert ConsumerSupervisor.count_children(supervisor).active == 0
  end

  test "a child may be started with some info" do
    supervisor = start()
    tag = subscribe_to_test(supervisor, max_demand: 2, min_demand: 1)
    send_events(supervisor, tag, [{:info, :x}])
    [{:x, pid}] = children(1)
    assert ConsumerSupervisor.count_children(supervisor).active == 1
    assert {:ok, _pid, :some_info} = ConsumerSupervisor.start_child(supervisor, [{:info, :y}])
    finish(pid)
    assert asked(supervisor, tag) == 1
  end

  test "a transient child is started again with its event when it fails, and only then" do
    supervisor = start(restart: :transient)
    tag = subscribe_to_test(supervisor, max_demand: 2, min_demand: 1)
    send_events(supervisor, tag, [:a])
    [{:a, first}] = children(1)
    finish(first, :oops)
    [{:a, second}] = children(1)
    assert second != first
    assert asked(supervisor, tag) == 0
    finish(second, :shutdown)
    assert asked(supervisor, tag) == 1
    assert ConsumerSupervisor.which_children(supervisor) == []
  end

  test "a restart that fails is tried again" do
    counter = :counters.new(1, [])
    supervisor = start([restart: :transient], max_restarts: 5)
    {:ok, pid} = ConsumerSupervisor.start_child(supervisor, [{:fails_again, counter}])
    [{:fails_again, ^pid}] = children(1)
    finish(pid, :oops)
    for n <- [1, 2], do: assert_receive({:failed, ^n})
    [{:fails_again, again}] = children(1)
    assert [{:undefined, ^again, :worker, [Child]}] = ConsumerSupervisor.which_children(supervisor)
  end

  test "one restart too many within the time ends the supervisor" do
    supervisor = start([restart: :transient], max_restarts: 1, max_seconds: 100)
    monitor = Process.monitor(supervisor)
    {:ok, _} = ConsumerSupervisor.start_child(supervisor, [:a])
    [{:a, one}] = children(1)
    finish(one, :oops)
    [{:a, two}] = children(1)
    finish(two, :oops)
    assert_receive {:DOWN, ^monitor, _, _, :shutdown}
  end

  test "children started by hand are no producer's business" do
    supervisor = start()
    tag = subscribe_to_test(supervisor, max_demand: 1, min_demand: 0)
    assert {:ok, pid} = ConsumerSupervisor.start_child(supervisor, [:by_hand])
    finish(pid)
    assert asked(supervisor, tag) == 0
    assert ConsumerSupervisor.start_child(supervisor, [{:returns, :ignore}]) == :ignore
    assert ConsumerSupervisor.start_child(supervisor, [{:returns, {:error, :no}}]) == {:error, :no}
    assert ConsumerSupervisor.start_child(supervisor, [{:returns, :nonsense}]) == {:error, :nonsense}

    assert {:error, {%RuntimeError{}, [_ | _]}} =
             ConsumerSupervisor.start_child(supervisor, [{:raises, "no"}])
  end

  test "a child can be terminated, which frees its demand" do
    supervisor = start()
    tag = subscribe_to_test(supervisor, max_demand: 2, min_demand: 1)
    send_events(supervisor, tag, [:a])
    [{:a, pid}] = children(1)
    assert ConsumerSupervisor.terminate_child(supervisor, pid) == :ok
    refute Process.alive?(pid)
    assert asked(supervisor, tag) == 1
    assert ConsumerSupervisor.terminate_child(supervisor, pid) == {:error, :not_found}
  end

  test "its end is the children's end, in the way that the template says" do
    for {shutdown, reason} <- [{:brutal_kill, :killed}, {:infinity, :shutdown}, {5000, :shutdown}] do
      supervisor = start(shutdown: shutdown)
      {:ok, pid} = ConsumerSupervisor.start_child(supervisor, [:a])
      monitor = Process.monitor(pid)
      GenServer.stop(supervisor)
      assert_received {:DOWN, ^monitor, _, _, ^reason}
    end
  end

  test "a child that does not end in time is killed" do
    supervisor = start(shutdown: 1)
    {:ok, pid} = ConsumerSupervisor.start_child(supervisor, [:stubborn])
    [{:stubborn, ^pid}] = children(1)
    monitor = Process.monitor(pid)
    GenServer.stop(supervisor)
    assert_received {:told, :stubborn, :shutdown}
    assert_received {:DOWN, ^monitor, _, _, :killed}
  end

  test "it traps exits: only its parent's end ends it" do
    supervisor = start()
    send(supervisor, {:EXIT, spawn(fn -> :ok end), :whatever})
    settle(supervisor)
    assert Process.info(supervisor, :trap_exit) == {:trap_exit, true}
  end

  test "the end of a permanent subscription ends it, and its children" do
    supervisor = start()
    tag = subscribe_to_test(supervisor, max_demand: 2)
    send_events(supervisor, tag, [:a])
    [{:a, pid}] = children(1)
    [child, parent] = [Process.monitor(pid), Process.monitor(supervisor)]
    send_cancel(supervisor, tag, :over)
    assert_receive {:DOWN, ^parent, _, _, :over}
    assert_receive {:DOWN, ^child, _, _, :shutdown}
  end

  test "children outlive a temporary subscription, and their end asks nobody" do
    supervisor = start()
    tag = subscribe_to_test(supervisor, max_demand: 2, min_demand: 0, cancel: :temporary)
    send_events(supervisor, tag, [:a])
    [{:a, pid}] = children(1)
    send_cancel(supervisor, tag, :over)
    settle(supervisor)
    finish(pid)
    assert asked(supervisor, tag) == 0
    assert ConsumerSupervisor.which_children(supervisor) == []
  end

  test "it is supervised as a module, under its name, and OTP sees a supervisor" do
    {:ok, answer} = Agent.start_link(fn -> ConsumerSupervisor.init([child()], strategy: :one_for_one) end)
    supervisor = start_supervised!({Configured, answer})
    assert %{type: :supervisor, restart: :temporary} = Configured.child_spec(answer)
    assert :supervisor.get_callback_module(supervisor) == Configured
    assert {:supervisor, Configured, _} = :proc_lib.initial_call(supervisor)
  end

  test "a change of code takes the new template and options" do
    {:ok, answer} = Agent.start_link(fn -> ConsumerSupervisor.init([child()], strategy: :one_for_one) end)
    supervisor = start_supervised!({Configured, answer})

    change = fn ->
      :sys.suspend(supervisor)
      changed = :sys.change_code(supervisor, Configured, nil, nil)
      :sys.resume(supervisor)
      changed
    end

    other = child(type: :supervisor, start: {Child, :start_link, [self()]})
    Agent.update(answer, fn _ -> ConsumerSupervisor.init([other], strategy: :one_for_one) end)
    assert change.() == :ok
    {:ok, _} = ConsumerSupervisor.start_child(supervisor, [:a])
    assert %{supervisors: 1, workers: 0} = ConsumerSupervisor.count_children(supervisor)

    Agent.update(answer, fn _ -> {:ok, [], strategy: :one_for_one} end)
    assert {:error, {:error, {:bad_specs, _message}}} = change.()
    Agent.update(answer, fn _ -> :ignore end)
    assert change.() == :ok
    Agent.update(answer, fn _ -> :nonsense end)
    assert {:error, _reason} = change.()
    assert %{supervisors: 1} = ConsumerSupervisor.count_children(supervisor)
  end

  test "what is wrong with a template or an option is said" do
    Process.flag(:trap_exit, true)
    one = [strategy: :one_for_one]
    start = fn children, options -> ConsumerSupervisor.start_link(children, options) end

    assert {:error, {:bad_specs, _}} = start.([], one)
    assert {:error, {:bad_specs, _}} = start.([child(), child(id: :other)], one)
    assert {:error, {:bad_opts, permanent}} = start.([child(restart: :permanent)], one)
    assert permanent =~ ":permanent"
    assert {:error, {:bad_opts, _}} = start.([Map.delete(child(), :restart)], one)
    assert {:error, {:bad_opts, strategy}} = start.([child()], strategy: :one_for_all)
    assert strategy =~ ":one_for_all"
    assert {:error, {:bad_opts, _}} = start.([child()], [])
    assert {:error, {:bad_opts, restarts}} = start.([child()], one ++ [max_restarts: :many])
    assert restarts =~ "max_restarts"
    assert {:error, {:bad_opts, seconds}} = start.([child()], one ++ [max_seconds: "5"])
    assert seconds =~ "max_seconds"
    assert {:error, {:bad_opts, list}} = start.([child()], one ++ [subscribe_to: :producer])
    assert list =~ ":subscribe_to"
    assert ConsumerSupervisor.start_link(Configured, :ignore) == :ignore
    assert {:error, {:bad_return_value, :nonsense}} = ConsumerSupervisor.start_link(Configured, :nonsense)
    assert {:error, {:bad_opts, _}} = ConsumerSupervisor.start_link(Configured, {:ok, [child()], :nonsense})
  end

  test "casts and messages that it does not know leave it as it is" do
    supervisor = start()
    Stage.cast(supervisor, :hello)
    send(supervisor, :hello)
    assert ConsumerSupervisor.which_children(supervisor) == []
    assert {:status, ^supervisor, _, _} = :sys.get_status(supervisor)
  end
end
