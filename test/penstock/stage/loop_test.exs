defmodule Penstock.Stage.LoopTest do
  # A stage is a process as any gen_server: to its parent, to those who call it, to `:sys` and to who reads logs.
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog
  import Penstock.StageWire

  alias Penstock.{ScriptedStage, Stage}

  @moduletag :capture_log

  defp start(script \\ %{}, options \\ []) do
    {:ok, pid} = ScriptedStage.start(:producer, [], script, options)
    on_exit(fn -> Process.exit(pid, :kill) end)
    pid
  end

  # What is logged while a stage ends that a process with no other business has asked to do something.
  defp ended(pid, request) do
    monitor = Process.monitor(pid)

    capture_log(fn ->
      {caller, calls} = spawn_monitor(fn -> request.(pid) end)
      assert_receive {:DOWN, ^monitor, _, _, _reason}
      assert_receive {:DOWN, ^calls, _, ^caller, _reason}
    end)
  end

  describe "its end" do
    test "is reported with its last message, its client and its state" do
      pid = start(%{handle_call: fn :fail, _from, _script -> raise "no such thing" end})
      log = ended(pid, &Stage.call(&1, :fail))
      assert log =~ "GenServer #{inspect(pid)} terminating"
      assert log =~ "(RuntimeError) no such thing"
      assert log =~ "Last message (from #PID<"
      assert log =~ ":fail"
      assert log =~ "State: %{"
      assert log =~ "Client #PID<"
    end

    test "is reported under its name, by a stop as by an exit, unless it is an ordinary one" do
      name = :"stage_#{System.unique_integer([:positive])}"
      stop = fn reason -> %{handle_cast: fn :stop, script -> {:stop, reason, script} end} end
      assert ended(start(stop.(:broken), name: name), &Stage.cast(&1, :stop)) =~ "GenServer #{inspect(name)}"
      # others log meanwhile
      ordinary = start(stop.(:shutdown))
      refute ended(ordinary, &Stage.cast(&1, :stop)) =~ inspect(ordinary)
      exit = %{handle_cast: fn :stop, _script -> exit(:broken) end}
      assert ended(start(exit), &Stage.cast(&1, :stop)) =~ "(stop) :broken"
    end

    test "is terminate/2's to know: with the stack of an error, and before a reply" do
      pid = start(%{handle_cast: fn :stop, _script -> raise "broken" end})
      ended(pid, &Stage.cast(&1, :stop))
      assert_receive {:terminate, ^pid, {%RuntimeError{}, [_ | _]}}

      test = self()
      pid = start(%{handle_call: fn :stop, _from, script -> {:stop, :shutdown, :stopped, script} end})
      ended(pid, &send(test, Stage.call(&1, :stop)))
      assert {:messages, messages} = Process.info(self(), :messages)

      assert Enum.filter(messages, &(&1 == :stopped or match?({:terminate, _, _}, &1))) ==
               [{:terminate, pid, :shutdown}, :stopped]
    end

    test "is what a failing terminate/2 makes of it" do
      script = %{
        handle_cast: fn :stop, script -> {:stop, :shutdown, script} end,
        terminate: fn _reason, _script -> raise "while ending" end
      }

      assert ended(start(script), &Stage.cast(&1, :stop)) =~ "while ending"
    end

    test "follows its parent's, through terminate/2 when it traps exits" do
      test = self()

      defmodule Trapping do
        use Stage

        def init(test) do
          Process.flag(:trap_exit, true)
          {:producer, test}
        end

        def handle_demand(_n, test), do: {:noreply, [], test}
        def terminate(reason, test), do: send(test, {:terminated, self(), reason})
      end

      parent =
        spawn(fn ->
          {:ok, pid} = Stage.start_link(Trapping, test)
          send(test, {:started, pid})
          receive do: (:end -> exit(:over))
        end)

      assert_receive {:started, pid}
      monitor = Process.monitor(pid)
      send(parent, :end)
      assert_receive {:terminated, ^pid, :over}
      assert_receive {:DOWN, ^monitor, _, _, :over}
    end
  end

  test "what a callback throws is no return value, but that init may decline with it" do
    pid = start(%{handle_call: fn :throw, _from, script -> throw({:reply, :thrown, script}) end})
    assert {{:bad_return_value, {:reply, :thrown, _script}}, _call} = catch_exit(Stage.call(pid, :throw))

    defmodule Declining do
      use Stage
      def init(thrown), do: throw(thrown)
    end

    assert Stage.start(Declining, :ignore) == :ignore
    assert Stage.start(Declining, {:stop, :declined}) == {:error, :declined}
    assert Stage.start(Declining, {:producer, 0}) == {:error, {:bad_return_value, {:producer, 0}}}
  end

  describe "a start that fails" do
    test "frees the name" do
      name = :"stage_#{System.unique_integer([:positive])}"

      for named <- [name, {:global, name}] do
        start = fn type -> Stage.start(ScriptedStage, {type, [], %{test: self()}}, name: named) end
        assert start.(:nonsense) == {:error, {:bad_return_value, {:nonsense, %{test: self()}, []}}}
        assert {:ok, pid} = start.(:producer)
        assert start.(:producer) == {:error, {:already_started, pid}}
        Stage.stop(pid)
      end
    end

    test "names an option :name that is none" do
      assert_raise ArgumentError, ~r/expected :name to be an atom/, fn -> start(%{}, name: "stage") end
    end

    test "tells of what init raises" do
      assert {:error, {:function_clause, [_ | _]}} = Stage.start(ScriptedStage, :nonsense)
    end
  end

  describe ":sys" do
    test "tells and replaces the state, and suspends" do
      pid = start()

      assert {:status, ^pid, {:module, Penstock.Stage.Loop}, [_, :running, _, [], status]} =
               :sys.get_status(pid)

      assert status[:header] == ~c"Status for stage #{inspect(pid)}"
      :sys.replace_state(pid, &%{&1 | state: Map.put(&1.state, :replaced, true)})
      assert %{replaced: true} = :sys.get_state(pid).state

      :sys.suspend(pid)
      request = :gen_server.send_request(pid, :anything)
      assert :gen_server.wait_response(request, 0) == :timeout
      :sys.resume(pid)
      assert :gen_server.receive_response(request, 5000) == {:reply, :ok}
    end

    test "changes the code" do
      defmodule Changing do
        use Stage
        def init(n), do: {:producer, n}
        def handle_demand(_n, n), do: {:noreply, [], n}
        def code_change(old, n, extra), do: if(extra == :refused, do: extra, else: {:ok, {old, n, extra}})
      end

      {:ok, pid} = Stage.start_link(Changing, 1)
      :sys.suspend(pid)
      assert :sys.change_code(pid, Changing, "0.1", :refused) == {:error, :refused}
      assert :sys.change_code(pid, Changing, "0.1", :extra) == :ok
      :sys.resume(pid)
      assert :sys.get_state(pid).state == {"0.1", 1, :extra}
    end

    test "sees what goes in and out, also from the start" do
      pid = start(%{}, debug: [:log, :statistics])
      Stage.call(pid, :a_call)
      Stage.cast(pid, {:emit, Enum.to_list(1..100)})
      {:ok, log} = :sys.log(pid, :get)
      assert Enum.any?(log, &match?({:in, {:"$gen_call", _from, :a_call}}, &1))
      assert Enum.any?(log, &match?({:out, :ok, _from, _state}, &1))
      assert Enum.any?(log, &match?({:noreply, _state}, &1))
      {:ok, statistics} = :sys.statistics(pid, :get)
      assert statistics[:messages_in] == 2
    end

    test "ends it" do
      pid = start()
      assert :sys.terminate(pid, :shutdown) == :ok
      assert_receive {:terminate, ^pid, :shutdown}
    end
  end

  test "hibernates when nothing has come for as long as it was told" do
    pid = start(%{}, hibernate_after: 1)
    :erlang.trace(pid, true, [:running])
    settle(pid)
    assert_receive {:trace, ^pid, :out, {:erlang, :hibernate, _arity}}
    assert Stage.call(pid, :anything) == :ok
  end

  test "a state that is replaced by rubbish ends it as any other fault, with a word in the log" do
    for request <- [
          &Stage.call(&1, :anything),
          &Stage.cast(&1, :anything),
          &send(&1, :anything),
          &Stage.stop(&1, :broken)
        ] do
      pid = start()
      assert :sys.replace_state(pid, fn _ -> :rubbish end) == :rubbish
      assert {:status, ^pid, _module, _parts} = :sys.get_status(pid)
      log = ended(pid, request)
      assert log =~ "GenServer #{inspect(pid)} terminating"
      assert log =~ "State: :rubbish"
    end
  end

  test "wrong debug options are logged and ignored" do
    for debug <- [:bad, [:trace | :bad]] do
      log = capture_log(fn -> assert {:ok, _pid} = ScriptedStage.start(:producer, [], %{}, debug: debug) end)
      assert log =~ "ignores erroneous debug options: #{inspect(debug)}"
    end
  end

  defmodule Handler do
    def log(event, %{config: test}), do: send(test, {:logged, event})
  end

  test "the report of its end says where it comes from" do
    id = :"handler_#{System.unique_integer([:positive])}"
    :ok = :logger.add_handler(id, Handler, %{config: self()})
    on_exit(fn -> :logger.remove_handler(id) end)
    pid = start(%{handle_cast: fn _, _ -> raise "broken" end})
    Stage.cast(pid, :fail)
    assert_receive {:logged, %{meta: %{mfa: mfa, file: file, line: line, pid: ^pid, error_logger: _}}}
    assert mfa == {Penstock.Stage.Report, :ended, 6}
    assert List.to_string(file) =~ ~r"stage/report.ex$"
    assert is_integer(line)
  end
end
