defmodule Penstock.Stage.Loop do
  @moduledoc false
  # The process of a stage. To everyone else it is a gen_server: it takes the same start options, calls, casts and
  # system messages, and reports its end the same way. It is a loop of its own because gen_server's costs 50 ns a
  # message, a twentieth of what a small batch takes, and keeps the message alive when its heap could be collected.
  #
  # It starts with `:gen`, as GenServer does, and otherwise needs what OTP documents for special processes.

  require Logger

  alias Penstock.Stage.{Heap, Report, Server}

  @typep environment :: {parent :: pid, name :: term, hibernate_after :: timeout, Heap.t()}

  # Every message goes through it.
  @compile {:inline, next: 3, work: 4}

  @spec start(:link | :nolink, argument :: {module, term}, GenServer.options()) :: GenServer.on_start()
  def start(link, argument, options) do
    case Keyword.pop(options, :name) do
      {nil, options} ->
        :gen.start(__MODULE__, link, Server, argument, options)

      {name, options} when is_atom(name) ->
        :gen.start(__MODULE__, link, {:local, name}, Server, argument, options)

      {{:global, _name} = name, options} ->
        :gen.start(__MODULE__, link, name, Server, argument, options)

      {{:via, module, _name} = name, options} when is_atom(module) ->
        :gen.start(__MODULE__, link, name, Server, argument, options)

      {other, _options} ->
        raise ArgumentError,
              "expected :name to be an atom, {:global, term} or {:via, module, term}, got: #{inspect(other)}"
    end
  end

  # What `:gen` calls in the new process.
  @doc false
  def init_it(starter, :self, name, module, argument, options),
    do: init_it(starter, self(), name, module, argument, options)

  def init_it(starter, parent, registered, Server, argument, options) do
    name = name(registered)
    debug = debug(Keyword.get(options, :debug, []), name)
    environment = {parent, name, Keyword.get(options, :hibernate_after, :infinity), Heap.new()}

    case protected(fn -> Server.init(argument) end) do
      {:ok, stage} ->
        :proc_lib.init_ack(starter, {:ok, self()})
        __MODULE__.loop(stage, debug, environment)

      {:ok, stage, :hibernate} ->
        :proc_lib.init_ack(starter, {:ok, self()})
        hibernate(stage, debug, environment)

      {:ok, stage, {:continue, argument}} ->
        :proc_lib.init_ack(starter, {:ok, self()})
        go_on(argument, stage, debug, environment)

      {:raised, :throw, value, _stack} ->
        decline(value, starter, registered)

      {:raised, class, reason, stack} ->
        fail(starter, registered, {:error, Report.reason(class, reason, stack)}, class, reason, stack)

      other ->
        decline(other, starter, registered)
    end
  end

  defp decline({:stop, reason}, starter, registered),
    do: fail(starter, registered, {:error, reason}, :exit, reason, [])

  defp decline(:ignore, starter, registered), do: fail(starter, registered, :ignore, :exit, :normal, [])

  defp decline(other, starter, registered),
    do: decline({:stop, {:bad_return_value, other}}, starter, registered)

  # What is wrong with these options is no reason not to start, here as with gen_server.
  defp debug(options, name) do
    :sys.debug_options(options)
  catch
    _class, _reason ->
      Logger.warning("Penstock.Stage #{inspect(name)} ignores erroneous debug options: #{inspect(options)}")
      []
  end

  defp name({:local, name}), do: name
  defp name({:global, name}), do: name
  defp name({:via, _module, name}), do: name
  defp name(pid) when is_pid(pid), do: pid

  defp fail(starter, registered, answer, class, reason, stack) do
    unregister(registered)

    # from OTP 26 on, who starts a process hears of its failure when it has ended
    if function_exported?(:proc_lib, :init_fail, 3) do
      apply(:proc_lib, :init_fail, [starter, answer, {class, reason, stack}])
    else
      :proc_lib.init_ack(starter, answer)
      :erlang.raise(class, reason, stack)
    end
  end

  defp unregister({:local, name}) do
    Process.unregister(name)
  rescue
    ArgumentError -> true
  end

  defp unregister({:global, name}), do: :global.unregister_name(name)
  defp unregister({:via, module, name}), do: module.unregister_name(name)
  defp unregister(_pid), do: true

  # Called by its full name, so that a stage is in new code with the next message after that was loaded.
  @doc false
  @spec loop(Penstock.Stage.State.t(), [:sys.dbg_opt()], environment) :: no_return
  def loop(stage, debug, {parent, name, hibernate_after, heap}) when heap != :warm,
    do: next(stage, debug, {parent, name, hibernate_after, Heap.look(heap)})

  def loop(stage, debug, environment), do: next(stage, debug, environment)

  defp next(stage, debug, {_parent, _name, hibernate_after, _heap} = environment) do
    receive do
      message -> take(message, stage, debug, environment)
    after
      hibernate_after -> hibernate(stage, debug, environment)
    end
  end

  defp hibernate(stage, debug, environment),
    do: :proc_lib.hibernate(__MODULE__, :wake, [stage, debug, environment])

  @doc false
  def wake(stage, debug, {parent, name, hibernate_after, heap}) do
    environment = {parent, name, hibernate_after, if(heap == :warm, do: :warm, else: Heap.look(heap))}

    receive do
      {:system, from, request} -> system(request, from, stage, debug, environment, true)
      :"$penstock_rest" -> hibernate(stage, debug, settle(environment))
      message -> take(message, stage, debug, environment)
    end
  end

  defp take({:system, from, request}, stage, debug, environment),
    do: system(request, from, stage, debug, environment, false)

  defp take(:"$penstock_rest", stage, debug, environment),
    do: __MODULE__.loop(stage, debug, settle(environment))

  defp take({:EXIT, parent, reason} = message, stage, debug, {parent, _name, _after, _heap} = environment),
    do: stop(reason, message, stage, debug, environment)

  defp take(message, stage, debug, {parent, name, hibernate_after, heap}) when heap != :warm,
    do: work(message, stage, debug, {parent, name, hibernate_after, Heap.warm_up(heap, message)})

  defp take(message, stage, debug, environment), do: work(message, stage, debug, environment)

  defp work(message, stage, [], environment) do
    message |> handle(stage) |> continue(message, stage, [], environment)
  end

  defp work(message, stage, debug, {_parent, name, _after, _heap} = environment) do
    debug = :sys.handle_debug(debug, &Report.print/3, name, {:in, message})
    message |> handle(stage) |> continue(message, stage, debug, environment)
  end

  defp settle({parent, name, hibernate_after, heap}), do: {parent, name, hibernate_after, Heap.settle(heap)}

  # What a start or a reply is to be followed by; it is not in the mailbox, so nothing comes before it.
  defp go_on(argument, stage, debug, environment) do
    fn -> Server.handle_continue(argument, stage) end
    |> protected()
    |> continue({:continue, argument}, stage, debug, environment)
  end

  defp handle(message, stage) do
    case message do
      {:"$gen_call", from, request} -> Server.handle_call(request, from, stage)
      {:"$gen_cast", request} -> Server.handle_cast(request, stage)
      _ -> Server.handle_info(message, stage)
    end
  catch
    class, reason -> {:raised, class, reason, __STACKTRACE__}
  end

  defp protected(work) do
    work.()
  catch
    class, reason -> {:raised, class, reason, __STACKTRACE__}
  end

  # The two that a stage is for, by themselves.
  defp continue({:noreply, stage}, _message, _old, [], environment),
    do: __MODULE__.loop(stage, [], environment)

  # The message is dead by now, and all that it brought.
  defp continue({:noreply, stage, :collect}, _message, _old, [], environment) do
    Heap.collect()
    __MODULE__.loop(stage, [], environment)
  end

  defp continue(step, message, old, debug, {_parent, name, _after, _heap} = environment) do
    case {step, message} do
      {{:noreply, stage}, _message} ->
        __MODULE__.loop(stage, note(debug, name, {:noreply, stage}), environment)

      {{:noreply, stage, :collect}, _message} ->
        __MODULE__.loop(stage, note(debug, name, {:noreply, stage}), environment)

      {{:noreply, stage, :hibernate}, _message} ->
        hibernate(stage, note(debug, name, {:noreply, stage}), environment)

      {{:reply, reply, stage}, {:"$gen_call", from, _request}} ->
        __MODULE__.loop(stage, reply(from, reply, stage, debug, name), environment)

      {{:reply, reply, stage, :hibernate}, {:"$gen_call", from, _request}} ->
        hibernate(stage, reply(from, reply, stage, debug, name), environment)

      {{:reply, reply, stage, {:continue, argument}}, {:"$gen_call", from, _request}} ->
        go_on(argument, stage, reply(from, reply, stage, debug, name), environment)

      {{:stop, reason, reply, stage}, {:"$gen_call", from, _request}} ->
        try do
          stop(reason, message, stage, debug, environment)
        after
          reply(from, reply, stage, debug, name)
        end

      {{:stop, reason, stage}, _message} ->
        stop(reason, message, stage, debug, environment)

      {{:raised, :throw, value, _stack}, _message} ->
        stop({:bad_return_value, value}, message, old, debug, environment)

      {{:raised, class, reason, stack}, _message} ->
        terminate({class, reason, stack}, message, old, debug, environment)

      {other, _message} ->
        stop({:bad_return_value, other}, message, old, debug, environment)
    end
  end

  defp note([], _name, _event), do: []
  defp note(debug, name, event), do: :sys.handle_debug(debug, &Report.print/3, name, event)

  defp reply(from, reply, stage, debug, name) do
    GenServer.reply(from, reply)
    note(debug, name, {:out, reply, from, stage})
  end

  @spec stop(reason :: term, message :: term, Penstock.Stage.State.t(), [:sys.dbg_opt()], environment) ::
          no_return
  defp stop(reason, message, stage, debug, environment),
    do: terminate({:exit, reason, nil}, message, stage, debug, environment)

  # Without a stack the stage ends because it wants to.
  defp terminate({class, reason, stack}, message, stage, debug, {_parent, name, _after, _heap}) do
    report = fn reason, stack -> Report.ended(reason, stack, message, stage, debug, name) end

    case protected(fn -> Server.terminate(Report.reason(class, reason, stack), stage) end) do
      {:raised, class, reason, stack} when class != :throw ->
        report.(reason, stack)
        :erlang.raise(class, reason, stack)

      _ ->
        unless Report.ordinary?(class, reason), do: report.(reason, stack)
        if stack, do: :erlang.raise(class, reason, stack), else: exit(reason)
    end
  end

  defp system(request, from, stage, debug, {parent, _name, _after, _heap} = environment, hibernated?),
    do:
      :sys.handle_system_msg(
        request,
        from,
        parent,
        __MODULE__,
        debug,
        {stage, environment, hibernated?},
        hibernated?
      )

  # What `:sys` calls.

  # A stage that hibernated before somebody looked at it does so again.
  @doc false
  def system_continue(_parent, debug, {stage, environment, true}), do: hibernate(stage, debug, environment)

  def system_continue(_parent, debug, {stage, environment, false}),
    do: __MODULE__.loop(stage, debug, environment)

  @doc false
  def system_terminate(reason, _parent, debug, {stage, environment, _hibernated?}),
    do: stop(reason, [], stage, debug, environment)

  @doc false
  def system_code_change({stage, environment, hibernated?}, _module, old, extra) do
    case protected(fn -> Server.code_change(old, stage, extra) end) do
      {:ok, stage} -> {:ok, {stage, environment, hibernated?}}
      other -> other
    end
  end

  @doc false
  def system_get_state({stage, _environment, _hibernated?}), do: {:ok, stage}

  @doc false
  def system_replace_state(replace, {stage, environment, hibernated?}) do
    stage = replace.(stage)
    {:ok, stage, {stage, environment, hibernated?}}
  end

  @doc false
  def format_status(why, [dictionary, state, parent, debug, {stage, environment, _hibernated?}]) do
    {_parent, name, _after, _heap} = environment

    [
      header: ~c"Status for stage #{inspect(name)}",
      data: [{~c"Status", state}, {~c"Parent", parent}, {~c"Logged events", :sys.get_log(debug)}]
    ] ++ Server.format_status(why, [dictionary, stage])
  end
end
