defmodule Penstock.Stage.Consumer do
  @moduledoc false
  # What a stage does as a consumer: subscribes, hands events to its module batch by batch, asks for more, and
  # decides what a producer's end means for it.

  require Logger

  alias Penstock.Stage.{Options, Output, Producer, Source, State, Subscribers}
  alias Penstock.Telemetry

  @type subscribed ::
          {:reply, reply :: term, State.t()} | {:stop, term, State.t()} | {:stop, term, term, State.t()}

  @spec subscribe_all([term], State.t()) :: {:ok, State.t()} | {:stop, reason :: term}
  def subscribe_all([], stage), do: {:ok, stage}

  def subscribe_all([to | rest], stage) do
    {producer, options} = entry(to)

    case subscribe(nil, producer, options, stage) do
      {:reply, {:ok, _tag}, stage} -> subscribe_all(rest, stage)
      {:reply, {:error, {:bad_opts, message}}, _stage} -> {:stop, {:bad_opts, message}}
      {:stop, reason, _stage} -> {:stop, reason}
      {:stop, reason, _reply, _stage} -> {:stop, reason}
    end
  end

  defp entry({producer, options}) when is_list(options), do: {producer, options}

  defp entry(producer) do
    ambiguous(producer)
    {producer, []}
  end

  # Whose name is a list reads as options.
  defp ambiguous({:global, _name} = producer), do: deprecated("{:global, term()}", producer)
  defp ambiguous({:via, _module, _name} = producer), do: deprecated("{:via, module(), term()}", producer)
  defp ambiguous(_producer), do: :ok

  defp deprecated(type, producer) do
    Logger.warning(
      ":subscribe_to value with type #{type} is deprecated. Use #{inspect({producer, []})} instead, in " <>
        "Penstock.Stage #{Subscribers.name()}"
    )
  end

  @spec subscribe(nil | {tag :: term, reason :: term}, producer :: term, keyword, State.t()) :: subscribed
  def subscribe(_current, to, _options, %State{type: :producer} = stage) do
    Logger.error(
      "Penstock.Stage producer #{Subscribers.name()} cannot be subscribed to another stage: #{inspect(to)}"
    )

    {:reply, {:error, :not_a_consumer}, stage}
  end

  def subscribe(current, to, options, stage) do
    with {:ok, cancel, min, max} <- Options.subscribed(options),
         {:ok, producer} <- locate(to) do
      open(producer, current, to, options, {cancel, {max, min, max}}, stage)
    else
      {:error, message} ->
        Logger.error(
          "Penstock.Stage consumer #{Subscribers.name()} cannot subscribe to #{inspect(to)}: #{message}"
        )

        {:reply, {:error, {:bad_opts, message}}, stage}
    end
  end

  defp locate(to) do
    case if(server?(to), do: GenServer.whereis(to), else: :unexpected) do
      :unexpected ->
        {:error, "expected a producer to be a pid or the name of a process, got: #{inspect(to)}"}

      itself when itself == self() ->
        {:error, "expected a producer to be another stage, got the stage itself"}

      producer ->
        {:ok, producer}
    end
  end

  defp server?({name, node}) when is_atom(name) and is_atom(node), do: true
  defp server?({:global, _name}), do: true
  defp server?({:via, module, _name}) when is_atom(module), do: true
  defp server?(to), do: is_pid(to) or (is_atom(to) and to not in [nil, true, false])

  defp open(nil, _current, _to, _options, {:temporary, _flow}, stage),
    do: {:reply, {:ok, make_ref()}, stage}

  defp open(nil, _current, to, _options, _source, stage) do
    Logger.error(
      "Penstock.Stage consumer #{inspect(stage.mod)} was not able to subscribe to the process #{inspect(to)} " <>
        "because that process is not alive"
    )

    {:stop, :noproc, {:ok, make_ref()}, stage}
  end

  defp open(producer, current, _to, options, {cancel, {max, _, _} = flow}, stage) do
    tag = Process.monitor(producer)
    send_producer(producer, tag, {:subscribe, current, options})

    case handle_subscribe(stage, options, {producer, tag}) do
      {:automatic, state} ->
        send_producer(producer, tag, {:ask, max})
        opened(tag, {producer, cancel, flow}, %{stage | state: state})

      {:manual, state} ->
        opened(tag, {producer, cancel, :manual}, %{stage | state: state})

      {:stop, reason, state} ->
        {:stop, reason, %{stage | state: state}}

      other ->
        {:stop, {:bad_return_value, other}, stage}
    end
  end

  defp opened(tag, {producer, _cancel, _flow} = source, stage) do
    Telemetry.subscription(:subscribed, :producer, {producer, tag}, stage)
    {:reply, {:ok, tag}, put_source(stage, tag, source)}
  end

  defp handle_subscribe(%State{mod: mod, state: state}, options, from) do
    if function_exported?(mod, :handle_subscribe, 4) do
      mod.handle_subscribe(:producer, options, from, state)
    else
      {:automatic, state}
    end
  end

  defp put_source(stage, tag, source), do: %{stage | sources: Map.put(stage.sources, tag, source)}

  @spec receive_events({pid, tag :: term}, [term], size :: non_neg_integer, State.t()) :: State.step()
  def receive_events({pid, tag} = from, events, size, %State{type: type, sources: sources} = stage) do
    case sources do
      %{^tag => source} when type == :consumer ->
        consume(events, size, from, source, stage)

      %{^tag => source} ->
        if stage.paused == nil and :queue.is_empty(stage.backlog) and Output.demand(stage.output) > 0 do
          consume(events, size, from, source, stage)
        else
          {:noreply, %{stage | backlog: :queue.in({:events, events, size, from}, stage.backlog)}}
        end

      %{} ->
        send_producer(pid, tag, {:cancel, :unknown_subscription})
        {:noreply, stage}
    end
  end

  defp consume([], 0, _from, _source, stage), do: {:noreply, stage}

  defp consume(events, _size, from, {_producer, _cancel, :manual}, stage),
    do: handle_events(events, from, 0, stage)

  defp consume(events, size, from, {_producer, _cancel, {demand, _min, _max} = flow} = source, stage),
    do: batches(events, size, from, demand, flow, source, stage)

  # `flow` moves on from batch to batch; `source` holds the one that is recorded.
  defp batches(events, size, from, owed, flow, source, stage) do
    case Source.batch(size, owed, flow, from) do
      {^size, ask, _owed, flow} ->
        events |> handle_events(from, ask, stage) |> record(from, source, flow)

      {count, ask, owed, flow} ->
        {now, later} = :lists.split(count, events)

        case handle_events(now, from, ask, stage) do
          {:stop, _reason, _stage} = stop -> stop
          step -> batches(later, size - count, from, owed, flow, source, elem(step, 1))
        end
    end
  end

  defp record(step, _from, {_producer, _cancel, flow}, flow), do: step
  defp record({:stop, _reason, _stage} = stop, _from, _source, _flow), do: stop

  defp record(step, {_pid, tag}, {producer, cancel, _old}, flow),
    do: put_elem(step, 1, put_source(elem(step, 1), tag, {producer, cancel, flow}))

  defp handle_events(events, {pid, tag} = from, ask, %State{handle_events: handle, state: state} = stage) do
    case Producer.noreply(handle.(events, from, state), stage) do
      {:stop, _reason, _stage} = stop ->
        stop

      step ->
        if ask > 0, do: send_producer(pid, tag, {:ask, ask})
        step
    end
  end

  @spec cancelled(tag :: term, :cancel | :down, reason :: term, State.t()) :: State.step()
  def cancelled(tag, kind, reason, %State{sources: sources, type: type} = stage) do
    case Map.pop(sources, tag) do
      {nil, _sources} ->
        {:noreply, stage}

      {{producer, cancel, _flow}, sources} ->
        Process.demonitor(tag, [:flush])
        stage = %{stage | sources: sources}
        Telemetry.subscription(:cancelled, :producer, {producer, tag}, stage, %{kind: kind, reason: reason})

        if type == :producer_consumer and not :queue.is_empty(stage.backlog) do
          waiting = {:cancel, cancel, {kind, reason}, {producer, tag}}
          {:noreply, %{stage | backlog: :queue.in(waiting, stage.backlog)}}
        else
          lose(cancel, {kind, reason}, {producer, tag}, stage)
        end
    end
  end

  defp lose(cancel, {_kind, reason} = kind_reason, {producer, _tag} = from, stage) do
    step = Producer.handle_cancel(kind_reason, from, stage)

    if elem(step, 0) == :noreply and Source.fatal?(cancel, reason) do
      Logger.info(
        "Penstock.Stage consumer #{Subscribers.name()} is stopping after receiving cancel from producer " <>
          "#{inspect(producer)} with reason: #{inspect(reason)}"
      )

      {:stop, reason, elem(step, 1)}
    else
      step
    end
  end

  # Lets a producer_consumer work off what has come, as long as its own consumers wait for events.
  @spec pump(State.t()) :: State.step()
  def pump(%State{backlog: backlog, output: output} = stage) do
    with nil <- stage.paused, false <- :queue.is_empty(backlog), true <- Output.demand(output) > 0 do
      {{:value, waiting}, backlog} = :queue.out(backlog)

      waiting |> work_off(%{stage | backlog: backlog}) |> Producer.and_then(&pump/1)
    else
      _ -> {:noreply, stage}
    end
  end

  defp work_off({:info, message}, stage), do: {:noreply, Producer.info(message, stage)}
  defp work_off({:cancel, cancel, kind_reason, from}, stage), do: lose(cancel, kind_reason, from, stage)

  defp work_off({:events, events, size, {_pid, tag} = from}, %State{sources: sources} = stage) do
    case sources do
      %{^tag => source} -> consume(events, size, from, source, stage)
      %{} -> handle_events(events, from, 0, stage)
    end
  end

  @spec info(term, State.t()) :: State.t()
  def info(message, %State{backlog: backlog} = stage) do
    if :queue.is_empty(backlog) do
      Producer.info(message, stage)
    else
      %{stage | backlog: :queue.in({:info, message}, backlog)}
    end
  end

  defp send_producer(producer, tag, content) when is_pid(producer) and node(producer) == node() do
    send(producer, {:"$gen_producer", {self(), tag}, content})
    :ok
  end

  defp send_producer(producer, tag, content) do
    Process.send(producer, {:"$gen_producer", {self(), tag}, content}, [:noconnect])
    :ok
  end
end
