defmodule Penstock.ConsumerSupervisor do
  @moduledoc """
  A consumer that starts a child process for each event, and supervises it.

  The event is appended to the arguments of the child specification. The supervisor asks its producer for
  `:max_demand` events; as children end it asks for as many again, whenever their number has reached `:min_demand`. So
  no more than `:max_demand` children of a producer run at the same time.

      defmodule Printer do
        # Linked to the supervisor that calls it, as every child's start function has to see to.
        def start_link(event), do: Task.start_link(fn -> IO.inspect(event) end)
      end

      defmodule Printers do
        use Penstock.ConsumerSupervisor

        def start_link(producer), do: Penstock.ConsumerSupervisor.start_link(__MODULE__, producer)

        @impl true
        def init(producer) do
          child = %{id: Printer, start: {Printer, :start_link, []}, restart: :temporary}
          options = [strategy: :one_for_one, subscribe_to: [{producer, max_demand: 50}]]
          Penstock.ConsumerSupervisor.init([child], options)
        end
      end

  There is exactly one child specification, and its `:restart` is `:temporary` (a child is never started again) or
  `:transient` (it is, with its event, when it has failed). `:permanent`, which is what a specification without
  `:restart` means, is refused: the child of an event would never be done with it.

  A child that answers `:ignore` or `{:error, reason}` when it is started counts as done.

  `alias Penstock.ConsumerSupervisor` moves a program over from the `gen_stage` library's `ConsumerSupervisor`.

  ## Options of `c:init/1` and `start_link/2`

  #{Penstock.Options.docs(Penstock.ConsumerSupervisor.Intensity.options())}
  #{Penstock.Options.docs(Penstock.Stage.Options.init(:consumer))}
  """

  @behaviour Penstock.Stage

  require Logger

  alias Penstock.ConsumerSupervisor.{Children, Demand, Intensity, Report, Template}
  alias Penstock.Stage
  alias __MODULE__, as: State

  @enforce_keys [:mod, :args, :name, :template, :intensity]
  defstruct [:mod, :args, :name, :template, :intensity, children: Children.new(), demand: Demand.new()]

  @typedoc false
  @type t :: %State{
          mod: module,
          args: term,
          name: term,
          template: Template.t(),
          intensity: Intensity.t(),
          children: Children.t(),
          demand: Demand.t()
        }
  @type option ::
          {:name, GenServer.name()}
          | {:strategy, :one_for_one}
          | {:max_restarts, non_neg_integer}
          | {:max_seconds, pos_integer}
          | {:subscribe_to, [Stage.stage() | {Stage.stage(), Stage.subscription_options()}]}
  @type child :: Supervisor.child_spec() | {module, term} | module

  @doc "Called when the supervisor starts and when its code is changed: the template and the options."
  @callback init(argument :: term) :: {:ok, [:supervisor.child_spec()], [option]} | :ignore

  @doc false
  defmacro __using__(options) do
    [specs(), quote_child_spec(options)]
  end

  # `worker/3` and `supervisor/3`, which programs older than child specifications call, as long as there are any.
  defp specs do
    if Code.ensure_loaded?(Supervisor.Spec), do: quote(do: import(Supervisor.Spec, warn: false))
  end

  defp quote_child_spec(options) do
    quote location: :keep, bind_quoted: [options: options] do
      @behaviour Penstock.ConsumerSupervisor

      @doc false
      def child_spec(argument) do
        Supervisor.child_spec(
          %{id: __MODULE__, start: {__MODULE__, :start_link, [argument]}, type: :supervisor},
          unquote(Macro.escape(options))
        )
      end

      defoverridable child_spec: 1
    end
  end

  @doc """
  Starts a supervisor of children of this one specification, linked to the caller.

  Options besides those above are those of `GenServer.start_link/3`.
  """
  @spec start_link([child], [option]) :: Supervisor.on_start()
  def start_link(children, options) when is_list(children) and is_list(options) do
    {own, start} = Keyword.split(options, [:strategy, :max_restarts, :max_seconds, :subscribe_to])
    start_link(Penstock.ConsumerSupervisor.Default, init(children, own), start)
  end

  @spec start_link(module, term) :: Supervisor.on_start()
  def start_link(module, argument) when is_atom(module), do: start_link(module, argument, [])

  @doc "Starts a supervisor whose module says in `c:init/1` what its children are, linked to the caller."
  @spec start_link(module, term, GenServer.options()) :: Supervisor.on_start()
  def start_link(module, argument, options) when is_atom(module) and is_list(options),
    do: Stage.start_link(__MODULE__, {module, argument, options[:name]}, options)

  @doc """
  Starts a child with these arguments appended to those of the specification, outside of any producer's demand.

  Returns what the child's start function returned.
  """
  @spec start_child(Supervisor.supervisor(), [term]) :: Supervisor.on_start_child()
  def start_child(supervisor, arguments) when is_list(arguments),
    do: Stage.call(supervisor, {:start_child, arguments}, :infinity)

  @doc "Ends a child, which frees the demand that it took."
  @spec terminate_child(Supervisor.supervisor(), pid) :: :ok | {:error, :not_found}
  def terminate_child(supervisor, pid) when is_pid(pid),
    do: Stage.call(supervisor, {:terminate_child, pid}, :infinity)

  @doc "All children, as `Supervisor.which_children/1` lists them; the id is always `:undefined`."
  @spec which_children(Supervisor.supervisor()) :: [
          {:undefined, pid | :restarting, :worker | :supervisor, [module] | :dynamic}
        ]
  def which_children(supervisor), do: Stage.call(supervisor, :which_children, :infinity)

  @doc "How many children there are, as `Supervisor.count_children/1` counts them; `:specs` is always 1."
  @spec count_children(Supervisor.supervisor()) :: %{
          specs: non_neg_integer,
          active: non_neg_integer,
          supervisors: non_neg_integer,
          workers: non_neg_integer
        }
  def count_children(supervisor), do: Stage.call(supervisor, :count_children, :infinity)

  @doc "What `c:init/1` returns for one child in any form that `Supervisor.child_spec/2` takes, and its options."
  @spec init([child], [option]) :: {:ok, [:supervisor.child_spec()], [option]}
  def init(children, options) when is_list(children) and is_list(options),
    do: {:ok, Enum.map(children, &Template.expand/1), options}

  @impl Stage
  def init({mod, argument, name}) do
    Process.put(:"$initial_call", {:supervisor, mod, 1})
    Process.flag(:trap_exit, true)

    case mod.init(argument) do
      {:ok, children, options} ->
        with {:ok, template, intensity, options} <- configure(children, options) do
          name = name || {self(), mod}
          state = %State{mod: mod, args: argument, name: name, template: template, intensity: intensity}
          {:consumer, state, options}
        else
          {:error, reason} -> {:stop, reason}
        end

      :ignore ->
        :ignore

      other ->
        {:stop, {:bad_return_value, other}}
    end
  end

  defp configure(children, options) do
    with {:ok, template} <- Template.new(children),
         {:ok, intensity, options} <- Intensity.new(options),
         :ok <- Template.refuse_permanent(template) do
      {:ok, template, intensity, options}
    end
  end

  @impl Stage
  def handle_subscribe(:producer, options, from, %State{demand: demand} = state) do
    max = Keyword.get(options, :max_demand, 1000)
    min = Keyword.get(options, :min_demand, div(max, 2))
    Stage.ask(from, max)
    {:manual, %{state | demand: Demand.open(demand, from, min, max)}}
  end

  @impl Stage
  def handle_cancel(_reason, {_pid, tag}, state),
    do: {:noreply, [], %{state | demand: Demand.close(state.demand, tag)}}

  @impl Stage
  def handle_events(events, {_pid, tag} = from, %State{} = state) do
    state = %{state | demand: Demand.received(state.demand, from, length(events))}
    {:noreply, [], start_events(events, tag, from, 0, state)}
  end

  defp start_events([], tag, _from, failed, state),
    do: %{state | demand: Demand.freed(state.demand, tag, failed)}

  defp start_events([event | events], tag, from, failed, %State{template: template} = state) do
    arguments = Template.arguments(template, [event])

    case Template.start(template, arguments) do
      {:error, reason} ->
        Logger.error(
          "Penstock.ConsumerSupervisor failed to start child from: #{inspect(from)} with reason: #{inspect(reason)}"
        )

        Report.error(:start_error, reason, :undefined, arguments, state)
        start_events(events, tag, from, failed + 1, state)

      :ignore ->
        start_events(events, tag, from, failed + 1, state)

      started ->
        start_events(events, tag, from, failed, put_child(elem(started, 1), tag, arguments, state))
    end
  end

  # What is never started again need not be remembered.
  defp put_child(pid, origin, arguments, %State{template: template} = state) do
    arguments = if template.restart == :temporary, do: :undefined, else: arguments
    %{state | children: Children.put(state.children, pid, origin, arguments)}
  end

  @impl Stage
  def handle_call(:which_children, _from, %State{template: template} = state) do
    children =
      for pid <- Children.pids(state.children), do: {:undefined, pid, template.type, template.modules}

    {:reply, children, [], state}
  end

  def handle_call(:count_children, _from, %State{template: template} = state) do
    {all, active} = Children.count(state.children)
    workers = if template.type == :worker, do: all, else: 0
    {:reply, %{specs: 1, active: active, supervisors: all - workers, workers: workers}, [], state}
  end

  def handle_call({:start_child, arguments}, _from, %State{template: template} = state) do
    arguments = Template.arguments(template, arguments)

    case Template.start(template, arguments) do
      started when elem(started, 0) == :ok ->
        {:reply, started, [], put_child(elem(started, 1), :dynamic, arguments, state)}

      other ->
        {:reply, other, [], state}
    end
  end

  def handle_call({:terminate_child, pid}, _from, %State{} = state) do
    case Children.fetch(state.children, pid) do
      {:ok, child} ->
        Children.shut_down(%{pid => child}, state)
        {:reply, :ok, [], done(pid, child, state)}

      :error ->
        {:reply, {:error, :not_found}, [], state}
    end
  end

  @impl Stage
  def handle_cast(_message, state), do: {:noreply, [], state}

  @impl Stage
  def handle_info({:EXIT, pid, reason}, %State{} = state) do
    case Children.fetch(state.children, pid) do
      {:ok, child} -> ended(pid, child, reason, state)
      :error -> {:noreply, [], state}
    end
  end

  def handle_info({:"$gen_restart", pid}, %State{} = state) do
    case Children.fetch(state.children, pid) do
      {:ok, {:restarting, _origin, _arguments} = child} -> restart(pid, child, state)
      # terminated since
      _ -> {:noreply, [], state}
    end
  end

  def handle_info(message, state) do
    Logger.error("Penstock.ConsumerSupervisor received unexpected message: #{inspect(message)}")
    {:noreply, [], state}
  end

  defp ended(pid, child, reason, state) do
    fine? = reason in [:normal, :shutdown] or match?({:shutdown, _}, reason)
    unless fine?, do: Report.error(:child_terminated, reason, pid, elem(child, 2), state)

    if fine? or state.template.restart == :temporary,
      do: {:noreply, [], done(pid, child, state)},
      else: restart(pid, child, state)
  end

  defp done(pid, {_status, origin, _arguments}, %State{children: children, demand: demand} = state),
    do: %{state | children: Children.delete(children, pid), demand: Demand.freed(demand, origin, 1)}

  defp restart(pid, {_status, _origin, arguments} = child, %State{} = state) do
    case Intensity.restart(state.intensity) do
      {:ok, intensity} ->
        {:noreply, [], start_again(pid, child, %{state | intensity: intensity})}

      :reached ->
        Report.error(:shutdown, :reached_max_restart_intensity, pid, arguments, state)
        {:stop, :shutdown, done(pid, child, state)}
    end
  end

  defp start_again(pid, {_status, origin, arguments} = child, %State{children: children} = state) do
    case Template.start(state.template, arguments) do
      {:error, reason} ->
        Report.error(:start_error, reason, {:restarting, pid}, arguments, state)
        send(self(), {:"$gen_restart", pid})
        %{state | children: Children.restarting(children, pid)}

      :ignore ->
        done(pid, child, state)

      started ->
        put_child(elem(started, 1), origin, arguments, %{state | children: Children.delete(children, pid)})
    end
  end

  @impl Stage
  def code_change(_old, %State{mod: mod, args: argument} = state, _extra) do
    case mod.init(argument) do
      {:ok, children, options} ->
        with {:ok, template, intensity, _options} <- configure(children, options) do
          {:ok, %{state | template: template, intensity: Intensity.adopt(intensity, state.intensity)}}
        end

      :ignore ->
        {:ok, state}

      other ->
        {:error, {:bad_return_value, other}}
    end
  end

  @impl Stage
  def terminate(_reason, %State{children: children} = state), do: Children.shut_down(children, state)

  @impl Stage
  def format_status(:terminate, [_dictionary, state]), do: state

  def format_status(:normal, [_dictionary, %State{mod: mod} = state]),
    do: [data: [{~c"State", state}], supervisor: [{~c"Callback", mod}]]
end
