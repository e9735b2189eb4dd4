defmodule Penstock.Stage.Server do
  @moduledoc false
  # What a stage does with a message: sorts it to the producer's or the consumer's side, or to the stage's own
  # module. The callbacks are gen_server's, but for `:collect`, which `Penstock.Stage.Heap` explains; the loop that
  # calls them is `Penstock.Stage.Loop`.

  import Penstock.Stage.Protocol, only: [is_ask: 2, is_from: 1, is_subscribe: 2]

  require Logger

  alias Penstock.Stage.{Consumer, Control, Heap, Options, Output, Producer, State, Subscribers}

  @type replied ::
          {:reply, term, State.t()}
          | {:reply, term, State.t(), also}
          | {:stop, reason :: term, reply :: term, State.t()}

  @types [:producer, :producer_consumer, :consumer]

  @typedoc "What is to be done right after a start or a reply."
  @type also :: :hibernate | {:continue, argument :: term}

  defguardp also?(also) when also == :hibernate or (tuple_size(also) == 2 and elem(also, 0) == :continue)

  @spec init({module, argument :: term}) ::
          {:ok, State.t()} | {:ok, State.t(), also} | {:stop, reason :: term} | :ignore
  def init({mod, arg}) do
    case mod.init(arg) do
      {type, state} when type in @types ->
        init(State.new(type, mod, state), [])

      {type, state, options} when type in @types and is_list(options) ->
        init(State.new(type, mod, state), options)

      {type, state, also} when type in @types and also?(also) ->
        with {:ok, stage} <- init(State.new(type, mod, state), []), do: {:ok, stage, also}

      {type, state, options, also} when type in @types and is_list(options) and also?(also) ->
        with {:ok, stage} <- init(State.new(type, mod, state), options), do: {:ok, stage, also}

      {:stop, _reason} = stop ->
        stop

      :ignore ->
        :ignore

      other ->
        {:stop, {:bad_return_value, other}}
    end
  end

  defp init(%State{type: type} = stage, options) do
    with {:ok, settings} <- Options.all(options, Options.init(type)) do
      stage = stage |> init_output(settings) |> init_mode(settings)
      settings |> Map.get(:subscribe_to, []) |> Consumer.subscribe_all(stage)
    else
      {:error, message} -> {:stop, {:bad_opts, message}}
    end
  end

  defp init_output(%State{type: :consumer} = stage, _settings), do: stage

  defp init_output(%State{type: type} = stage, settings) do
    %{dispatcher: config, buffer_size: size, buffer_keep: keep} = settings
    backlog = if type == :producer_consumer, do: :queue.new()
    %{stage | output: Output.new(config, type, size, keep), backlog: backlog}
  end

  defp init_mode(stage, %{demand: :accumulate}), do: %{stage | mode: []}
  defp init_mode(stage, %{demand: :forward}), do: %{stage | mode: :forward}
  defp init_mode(stage, _settings), do: stage

  @spec handle_call(term, GenServer.from(), State.t()) :: replied | State.step()
  def handle_call({:"$info", message}, _from, stage), do: {:reply, :ok, info(message, stage)}
  def handle_call(:"$demand", _from, stage), do: {:reply, Control.mode(stage), stage}
  def handle_call({:"$penstock", :pause}, _from, stage), do: Control.pause(stage)
  def handle_call({:"$penstock", :resume}, _from, stage), do: Control.resume(stage)
  def handle_call({:"$penstock", :info}, _from, stage), do: {:reply, Control.info(stage), stage}

  def handle_call({:"$subscribe", current, to, options}, _from, stage),
    do: Consumer.subscribe(current, to, options, stage)

  def handle_call(:"$estimate_buffered_count", _from, %State{type: :consumer} = stage) do
    Logger.error(
      "Buffered count can only be requested for producers, Penstock.Stage #{Subscribers.name()} is a consumer"
    )

    {:reply, 0, stage}
  end

  def handle_call(:"$estimate_buffered_count", _from, stage),
    do: {:reply, Output.buffered(stage.output), stage}

  def handle_call(message, from, %State{mod: mod, state: state} = stage) do
    case mod.handle_call(message, from, state) do
      {:reply, reply, events, state} when is_list(events) ->
        {:reply, reply, Producer.emit(events, %{stage | state: state})}

      {:reply, reply, events, state, also} when is_list(events) and also?(also) ->
        {:reply, reply, Producer.emit(events, %{stage | state: state}), also}

      {:stop, reason, reply, state} ->
        {:stop, reason, reply, %{stage | state: state}}

      other ->
        Producer.noreply(other, stage)
    end
  end

  @spec handle_cast(term, State.t()) :: State.step()
  def handle_cast({:"$info", message}, stage), do: {:noreply, info(message, stage)}

  def handle_cast({:"$demand", mode}, stage) when mode in [:forward, :accumulate],
    do: Control.set_mode(mode, stage)

  def handle_cast({:"$subscribe", current, to, options}, stage) do
    case Consumer.subscribe(current, to, options, stage) do
      {:reply, _reply, stage} -> {:noreply, stage}
      {:stop, reason, _reply, stage} -> {:stop, reason, stage}
      stop -> stop
    end
  end

  def handle_cast(message, %State{mod: mod, state: state} = stage),
    do: Producer.noreply(mod.handle_cast(message, state), stage)

  defp info(message, %State{type: :consumer} = stage) do
    send(self(), message)
    stage
  end

  defp info(message, %State{type: :producer} = stage), do: Producer.info(message, stage)
  defp info(message, %State{type: :producer_consumer} = stage), do: Consumer.info(message, stage)

  @spec handle_continue(term, State.t()) :: State.step()
  def handle_continue(argument, stage), do: Producer.continue(argument, stage)

  @spec handle_info(term, State.t()) :: State.step()
  def handle_info({:"$gen_consumer", {pid, _tag} = from, events}, %State{type: type} = stage)
      when is_pid(pid) and is_list(events) and type != :producer do
    size = length(events)

    if Heap.large?(events, size),
      do: from |> Consumer.receive_events(events, size, stage) |> Heap.collect_after(),
      else: Consumer.receive_events(from, events, size, stage)
  end

  def handle_info({:"$gen_consumer", {_pid, tag}, {:cancel, reason}}, %State{type: type} = stage)
      when type != :producer,
      do: Consumer.cancelled(tag, :cancel, reason, stage)

  def handle_info({:"$gen_consumer", _from, _content} = message, %State{type: :producer} = stage),
    do: misdirected(message, stage)

  def handle_info({:"$gen_producer", _from, _content} = message, %State{type: :consumer} = stage),
    do: misdirected(message, stage)

  def handle_info({:"$gen_producer", from, {:ask, n}}, %State{paused: paused} = stage)
      when paused != nil and is_ask(from, n),
      do: Control.hold(from, n, stage)

  def handle_info({:"$gen_producer", from, {:ask, n}}, %State{type: :producer} = stage) when is_ask(from, n),
    do: Producer.ask(from, n, stage)

  def handle_info({:"$gen_producer", from, {:ask, n}}, stage) when is_ask(from, n),
    do: from |> Producer.ask(n, stage) |> pump()

  def handle_info({:"$gen_producer", from, {:subscribe, current, options}}, stage)
      when is_subscribe(from, current),
      do: Producer.subscribe(from, current, options, stage)

  def handle_info({:"$gen_producer", {_pid, tag} = from, {:cancel, reason}}, stage) when is_from(from),
    do: Producer.cancel(tag, :cancel, reason, stage)

  def handle_info(:"$penstock_flow", %State{output: %Output{}} = stage),
    do: stage |> Producer.flow() |> pump()

  def handle_info({:"$penstock_expelled", id, reason}, %State{output: %Output{}} = stage),
    do: Producer.expelled(id, reason, stage)

  def handle_info({:DOWN, monitor, _, _, reason} = message, %State{sources: sources, output: output} = stage) do
    with false <- is_map_key(sources, monitor),
         :error <- subscriber(output, monitor) do
      deliver(message, stage)
    else
      true -> Consumer.cancelled(monitor, :down, reason, stage)
      {:ok, tag} -> Producer.cancel(tag, :down, reason, stage)
    end
  end

  def handle_info(message, stage), do: deliver(message, stage)

  defp pump({:noreply, %State{type: :producer_consumer} = stage}), do: Consumer.pump(stage)

  defp pump({:noreply, %State{type: :producer_consumer}, :hibernate} = step),
    do: Producer.and_then(step, &Consumer.pump/1)

  defp pump(step), do: step

  defp subscriber(nil, _monitor), do: :error
  defp subscriber(output, monitor), do: Subscribers.monitored(output.subscribers, monitor)

  defp misdirected(message, %State{type: type} = stage) do
    Logger.error(
      "Penstock.Stage #{type} #{Subscribers.name()} received #{elem(message, 0)} message: #{inspect(message)}"
    )

    {:noreply, stage}
  end

  defp deliver(message, %State{mod: mod, state: state} = stage) do
    if function_exported?(mod, :handle_info, 2) do
      Producer.noreply(mod.handle_info(message, state), stage)
    else
      Logger.warning("Undefined handle_info in #{inspect(mod)}, unhandled message: #{inspect(message)}")
      {:noreply, stage}
    end
  end

  # What `:sys` has put in place of a stage's state may be anything; that ends the stage, and is told like any other end.
  @spec terminate(reason :: term, State.t() | term) :: term
  def terminate(reason, %State{mod: mod, state: state}) do
    if function_exported?(mod, :terminate, 2), do: mod.terminate(reason, state), else: :ok
  end

  def terminate(_reason, _replaced), do: :ok

  @spec code_change(old :: term, State.t(), extra :: term) :: {:ok, State.t()} | term
  def code_change(old, %State{mod: mod, state: state} = stage, extra) do
    if function_exported?(mod, :code_change, 3) do
      with {:ok, state} <- mod.code_change(old, state, extra), do: {:ok, %{stage | state: state}}
    else
      {:ok, stage}
    end
  end

  def code_change(_old, replaced, _extra), do: {:ok, replaced}

  @spec format_status(:normal | :terminate, [term]) :: term
  def format_status(why, [dictionary, %State{mod: mod, state: state} = stage]) do
    if function_exported?(mod, :format_status, 2) do
      try do
        mod.format_status(why, [dictionary, state])
      catch
        _kind, _reason -> status(why, stage)
      end
    else
      status(why, stage)
    end
  end

  def format_status(:terminate, [_dictionary, replaced]), do: replaced
  def format_status(:normal, [_dictionary, replaced]), do: [data: [{~c"State", replaced}]]

  defp status(:terminate, %State{state: state}), do: state
  defp status(:normal, %State{state: state} = stage), do: [data: [{~c"State", state} | describe(stage)]]

  defp describe(%State{type: type, sources: sources, output: output}) do
    producers = for {_tag, {producer, _cancel, _flow}} <- sources, do: producer

    [{~c"Stage", type}] ++
      if(output, do: [{~c"Dispatcher", output.dispatcher}], else: []) ++
      if(type == :producer, do: [], else: [{~c"Producers", producers}]) ++
      if(output, do: describe(output), else: [])
  end

  defp describe(%Output{subscribers: subscribers} = output),
    do: [{~c"Consumers", Subscribers.pids(subscribers)}, {~c"Buffer size", Output.buffered(output)}]
end
