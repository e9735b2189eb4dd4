defmodule Penstock.Stage.Producer do
  @moduledoc false
  # What a stage does as a producer: answers its subscribers, asks its module for events, sends them out.

  require Logger

  alias Penstock.Stage.{Options, Output, State, Subscribers}
  alias Penstock.Telemetry

  @most Options.most()

  # On the way of every ask.
  @compile {:inline, ask: 4, serve: 4, asked: 2}

  # Takes what a callback returned; its events go out.
  @spec noreply(term, State.t()) :: State.step()
  def noreply({:noreply, [], state}, stage), do: {:noreply, %{stage | state: state}}

  def noreply({:noreply, events, state}, stage) when is_list(events),
    do: {:noreply, emit(events, %{stage | state: state})}

  def noreply({:noreply, events, state, :hibernate}, stage) when is_list(events),
    do: {:noreply, emit(events, %{stage | state: state}), :hibernate}

  def noreply({:noreply, events, state, {:continue, argument}}, stage) when is_list(events),
    do: continue(argument, emit(events, %{stage | state: state}))

  def noreply({:stop, reason, state}, stage), do: {:stop, reason, %{stage | state: state}}
  def noreply(other, stage), do: {:stop, {:bad_return_value, other}, stage}

  # What a callback wants done before anything else is.
  @spec continue(term, State.t()) :: State.step()
  def continue(argument, %State{mod: mod, state: state} = stage),
    do: noreply(mod.handle_continue(argument, state), stage)

  # Goes on after a step, unless it stops the stage. One that hibernates does so in the end.
  @spec and_then(State.step(), (State.t() -> State.step())) :: State.step()
  def and_then({:noreply, stage}, next), do: next.(stage)
  def and_then({:stop, _reason, _stage} = stop, _next), do: stop

  def and_then({:noreply, stage, :hibernate}, next) do
    with {:noreply, stage} <- next.(stage), do: {:noreply, stage, :hibernate}
  end

  @spec emit([term], State.t()) :: State.t()
  def emit([], stage), do: stage

  def emit(events, %State{type: :consumer} = stage) do
    Logger.error(
      "Penstock.Stage consumer #{Subscribers.name()} cannot dispatch events (an empty list must be returned): " <>
        inspect(events)
    )

    stage
  end

  def emit(events, %State{mode: held} = stage) when is_list(held),
    do: %{stage | mode: [{:events, events} | held]}

  def emit(events, %State{output: output} = stage) do
    case Output.emit(output, events) do
      :delivered -> stage
      {0, output} -> %{stage | output: output}
      {discarded, output} -> report(discarded, %{stage | output: output})
    end
  end

  defp report(discarded, %State{mod: mod, state: state} = stage) do
    Telemetry.stage(:discarded, %{count: discarded}, stage)

    if not function_exported?(mod, :format_discarded, 2) or mod.format_discarded(discarded, state) do
      Logger.warning(
        "Penstock.Stage producer #{Subscribers.name()} has discarded #{discarded} events from buffer"
      )
    end

    stage
  end

  @spec subscribe(Subscribers.from(), nil | {tag :: term, reason :: term}, keyword, State.t()) ::
          State.step()
  def subscribe(from, {tag, reason}, options, stage) do
    tag |> cancel(:cancel, reason, stage) |> and_then(&subscribe(from, nil, options, &1))
  end

  def subscribe(from, nil, options, %State{output: output} = stage) do
    case Subscribers.add(output.subscribers, from) do
      :duplicate ->
        {:noreply, stage}

      {:ok, id, subscribers} ->
        stage = %{stage | output: %{output | subscribers: subscribers}}
        stage |> handle_subscribe(options, from) |> admit(id, from, options, stage)
    end
  end

  defp handle_subscribe(%State{mod: mod, state: state}, options, from) do
    if function_exported?(mod, :handle_subscribe, 4) do
      mod.handle_subscribe(:consumer, options, from, state)
    else
      {:automatic, state}
    end
  end

  defp admit({:automatic, state}, id, {_pid, tag} = from, options, stage) do
    case Output.open(stage.output, id, from, options) do
      {:ok, output} ->
        Telemetry.subscription(:subscribed, :consumer, from, stage)
        regulate({:noreply, %{stage | state: state, output: output}})

      {:error, reason, output} ->
        cancel(tag, :cancel, reason, %{stage | state: state, output: output})
    end
  end

  defp admit({:stop, reason, state}, _id, _from, _options, stage),
    do: {:stop, reason, %{stage | state: state}}

  defp admit(other, _id, _from, _options, stage), do: {:stop, {:bad_return_value, other}, stage}

  @spec ask(Subscribers.from(), integer, State.t()) :: State.step()
  def ask(from, n, %State{output: output} = stage) when n > 0 do
    case Subscribers.fetch(output.subscribers, from) do
      {:ok, id} ->
        ask(id, from, min(n, @most), stage)

      :unknown ->
        {:noreply, stage}
    end
  end

  def ask(from, n, stage) do
    Logger.error(
      "Penstock.Stage producer #{Subscribers.name()} ignores an ask for #{n} events from: #{inspect(from)}, " <>
        "expected a positive integer"
    )

    {:noreply, stage}
  end

  # A producer that accumulates keeps its buffer as well: the ask waits.
  defp ask(id, from, n, %State{type: :producer, mode: held, output: output} = stage) when is_list(held) do
    if Output.buffered(output) > 0,
      do: {:noreply, %{stage | mode: [{:ask, id, n} | held]}},
      else: serve(id, from, n, stage)
  end

  defp ask(id, from, n, stage), do: serve(id, from, n, stage)

  # Serves an ask that was held back, unless its subscription has ended since.
  @spec serve(Subscribers.id(), integer, State.t()) :: State.step()
  def serve(id, n, %State{output: output} = stage) do
    case output.subscribers.by_id do
      %{^id => from} when n > 0 -> serve(id, from, min(n, @most), stage)
      %{^id => from} -> ask(from, n, stage)
      %{} -> {:noreply, stage}
    end
  end

  defp serve(id, from, n, %State{type: :producer, mode: :forward, output: output} = stage),
    do: output |> Output.ask_ahead(id, from, n) |> asked(stage)

  defp serve(id, from, n, %State{output: output} = stage),
    do: output |> Output.ask(id, from, n) |> asked(stage)

  defp asked(upstream, stage) when is_integer(upstream), do: forward(upstream, stage)
  defp asked({:ahead, to, upstream}, stage), do: forward_ahead(to, upstream, stage)
  defp asked({upstream, output}, stage), do: forward(upstream, %{stage | output: output})

  # A producer_consumer asks its own producers as it handles events, not as it is asked.
  defp forward(0, stage), do: {:noreply, stage}
  defp forward(_n, %State{type: :producer_consumer} = stage), do: {:noreply, stage}

  defp forward(n, %State{mode: :forward, handle_demand: handle_demand, state: state} = stage),
    do: noreply(handle_demand.(n, state), stage)

  defp forward(n, %State{mode: held} = stage), do: {:noreply, %{stage | mode: [{:demand, n} | held]}}

  defp forward_ahead(to, n, %State{handle_demand: handle_demand, state: state, output: output} = stage) do
    case handle_demand.(n, state) do
      {:noreply, events, state} when length(events) == n ->
        {:noreply, %{stage | state: state, output: Output.deliver_ahead(output, to, events, n)}}

      other ->
        :ok = Output.take_back(output, to, n)
        noreply(other, stage)
    end
  end

  @spec cancel(tag :: term, :cancel | :down, reason :: term, State.t()) :: State.step()
  def cancel(tag, kind, reason, %State{output: output} = stage) do
    case Subscribers.remove(output.subscribers, tag, reason) do
      :unknown ->
        {:noreply, stage}

      {:ok, id, from, subscribers} ->
        # Before the callback: what it emits is for those who stay.
        stage = %{stage | output: Output.close(%{output | subscribers: subscribers}, id, from)}
        Telemetry.subscription(:cancelled, :consumer, from, stage, %{kind: kind, reason: reason})
        {kind, reason} |> handle_cancel(from, stage) |> regulate()
    end
  end

  # Ends a subscription that the output has expelled, unless it has ended itself meanwhile.
  @spec expelled(Subscribers.id(), reason :: term, State.t()) :: State.step()
  def expelled(id, reason, %State{output: output} = stage) do
    case output.subscribers.by_id do
      %{^id => {_pid, tag}} -> cancel(tag, :cancel, reason, stage)
      %{} -> {:noreply, stage}
    end
  end

  # A subscription that has come or gone may leave the others with demand that can be served now. A
  # producer_consumer then also has events to handle, which it does as for a message.
  defp regulate(step) do
    and_then(step, fn
      %State{type: :producer_consumer} = stage ->
        {:noreply, %{stage | output: Output.flow_soon(stage.output)}}

      stage ->
        flow(stage)
    end)
  end

  @spec flow(State.t()) :: State.step()
  def flow(%State{paused: paused, mode: mode} = stage) when paused != nil or is_list(mode),
    do: {:noreply, stage}

  def flow(stage), do: drain(stage)

  # Serves what it can from the buffer; what is to be asked of the module beyond that is held, if the stage holds demand.
  @spec drain(State.t()) :: State.step()
  def drain(%State{output: output} = stage) do
    {upstream, output} = Output.flow(output)
    forward(upstream, %{stage | output: output})
  end

  @spec handle_cancel({:cancel | :down, term}, from :: {term, term}, State.t()) :: State.step()
  def handle_cancel(kind_reason, from, %State{mod: mod, state: state} = stage) do
    if function_exported?(mod, :handle_cancel, 3) do
      noreply(mod.handle_cancel(kind_reason, from, state), stage)
    else
      {:noreply, stage}
    end
  end

  # Has a message sent to the stage itself, behind the events that it holds.
  @spec info(term, State.t()) :: State.t()
  def info(message, %State{mode: [_ | _] = held} = stage) do
    if Enum.any?(held, &match?({:events, _}, &1)) do
      %{stage | mode: [{:info, message} | held]}
    else
      %{stage | output: Output.info(stage.output, message)}
    end
  end

  def info(message, %State{output: output} = stage), do: %{stage | output: Output.info(output, message)}

  @spec set_mode(:forward | :accumulate, State.t()) :: State.step()
  def set_mode(:forward, %State{type: :producer_consumer} = stage), do: {:noreply, stage}

  def set_mode(_mode, %State{type: type} = stage) when type != :producer do
    Logger.error(
      "Demand mode can only be set for producers, Penstock.Stage #{Subscribers.name()} is a #{type}"
    )

    {:noreply, stage}
  end

  def set_mode(:accumulate, %State{mode: :forward} = stage), do: {:noreply, %{stage | mode: []}}
  def set_mode(:accumulate, stage), do: {:noreply, stage}
  def set_mode(:forward, %State{mode: :forward} = stage), do: {:noreply, stage}

  # What could be served meanwhile from the buffer comes first: it is older than what is held.
  def set_mode(:forward, stage) do
    and_then(drain(stage), fn %State{mode: held} = stage ->
      held
      |> :lists.reverse()
      |> Enum.reduce({:noreply, %{stage | mode: :forward}}, fn waiting, step ->
        and_then(step, &replay(waiting, &1))
      end)
    end)
  end

  defp replay({:demand, n}, stage), do: forward(n, stage)
  defp replay({:ask, id, n}, stage), do: serve(id, n, stage)
  defp replay({:events, events}, stage), do: {:noreply, emit(events, stage)}
  defp replay({:info, message}, stage), do: {:noreply, info(message, stage)}
end
