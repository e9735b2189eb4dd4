defmodule Penstock.Stage.Producer do
  @moduledoc false
  # What a stage does as a producer: answers its subscribers, asks its module for events, sends them out.

  require Logger

  alias Penstock.Stage.{Options, Outlet, State, Subscribers}
  alias Penstock.Telemetry

  @most Options.most()

  # Takes what a callback returned; its events go out.
  @spec noreply(term, State.t()) :: State.step()
  def noreply({:noreply, [], state}, stage), do: {:noreply, %{stage | state: state}}

  def noreply({:noreply, events, state}, stage) when is_list(events),
    do: {:noreply, emit(events, %{stage | state: state})}

  def noreply({:noreply, events, state, :hibernate}, stage) when is_list(events),
    do: {:noreply, emit(events, %{stage | state: state}), :hibernate}

  def noreply({:stop, reason, state}, stage), do: {:stop, reason, %{stage | state: state}}
  def noreply(other, stage), do: {:stop, {:bad_return_value, other}, stage}

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

  def emit(events, %State{outlet: outlet} = stage) do
    case Outlet.emit(outlet, events) do
      :delivered -> stage
      {0, outlet} -> %{stage | outlet: outlet}
      {discarded, outlet} -> report(discarded, %{stage | outlet: outlet})
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
    with {:noreply, stage} <- cancel(tag, :cancel, reason, stage), do: subscribe(from, nil, options, stage)
  end

  def subscribe(from, nil, options, %State{outlet: outlet} = stage) do
    case Subscribers.add(outlet.subscribers, from) do
      :duplicate ->
        {:noreply, stage}

      {:ok, id, subscribers} ->
        stage = %{stage | outlet: %{outlet | subscribers: subscribers}}
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
    case Outlet.open(stage.outlet, id, from, options) do
      {:ok, outlet} ->
        Telemetry.subscription(:subscribed, :consumer, from, stage)
        regulate({:noreply, %{stage | state: state, outlet: outlet}})

      {:error, reason, outlet} ->
        cancel(tag, :cancel, reason, %{stage | state: state, outlet: outlet})
    end
  end

  defp admit({:stop, reason, state}, _id, _from, _options, stage),
    do: {:stop, reason, %{stage | state: state}}

  defp admit(other, _id, _from, _options, stage), do: {:stop, {:bad_return_value, other}, stage}

  @spec ask(Subscribers.from(), integer, State.t()) :: State.step()
  def ask(from, n, %State{outlet: outlet} = stage) when n > 0 do
    case Subscribers.fetch(outlet.subscribers, from) do
      {:ok, id} ->
        case ask(outlet, id, from, min(n, @most), stage) do
          upstream when is_integer(upstream) -> forward(upstream, stage)
          {:ahead, to, upstream} -> forward_ahead(to, upstream, stage)
          {upstream, outlet} -> forward(upstream, %{stage | outlet: outlet})
        end

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

  defp ask(outlet, id, from, n, %State{type: :producer, mode: :forward}),
    do: Outlet.ask_ahead(outlet, id, from, n)

  defp ask(outlet, id, from, n, _stage), do: Outlet.ask(outlet, id, from, n)

  # A producer_consumer asks its own producers as it handles events, not as it is asked.
  defp forward(0, stage), do: {:noreply, stage}
  defp forward(_n, %State{type: :producer_consumer} = stage), do: {:noreply, stage}

  defp forward(n, %State{mode: :forward, handle_demand: handle_demand, state: state} = stage),
    do: noreply(handle_demand.(n, state), stage)

  defp forward(n, %State{mode: held} = stage), do: {:noreply, %{stage | mode: [{:demand, n} | held]}}

  defp forward_ahead(to, n, %State{handle_demand: handle_demand, state: state, outlet: outlet} = stage) do
    case handle_demand.(n, state) do
      {:noreply, events, state} when length(events) == n ->
        Outlet.deliver_ahead(outlet, to, events, n)
        {:noreply, %{stage | state: state}}

      other ->
        :ok = Outlet.take_back(outlet, to, n)
        noreply(other, stage)
    end
  end

  @spec cancel(tag :: term, :cancel | :down, reason :: term, State.t()) :: State.step()
  def cancel(tag, kind, reason, %State{outlet: outlet} = stage) do
    case Subscribers.remove(outlet.subscribers, tag, reason) do
      :unknown ->
        {:noreply, stage}

      {:ok, id, from, subscribers} ->
        # Before the callback: what it emits is for those who stay.
        stage = %{stage | outlet: Outlet.close(%{outlet | subscribers: subscribers}, id, from)}
        Telemetry.subscription(:cancelled, :consumer, from, stage, %{kind: kind, reason: reason})
        {kind, reason} |> handle_cancel(from, stage) |> regulate()
    end
  end

  # A subscription that has come or gone may leave the others with demand that can be served now. A
  # producer_consumer then also has events to handle, which it does as for a message.
  defp regulate({:stop, _reason, _stage} = stop), do: stop

  defp regulate({:noreply, %State{type: :producer_consumer} = stage}),
    do: {:noreply, %{stage | outlet: Outlet.flow_soon(stage.outlet)}}

  defp regulate({:noreply, stage}), do: flow(stage)

  defp regulate({:noreply, stage, :hibernate}) do
    with {:noreply, stage} <- regulate({:noreply, stage}), do: {:noreply, stage, :hibernate}
  end

  @spec flow(State.t()) :: State.step()
  def flow(%State{paused: paused} = stage) when paused != nil, do: {:noreply, stage}

  def flow(%State{outlet: outlet} = stage) do
    {upstream, outlet} = Outlet.flow(outlet)
    forward(upstream, %{stage | outlet: outlet})
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
      %{stage | outlet: Outlet.info(stage.outlet, message)}
    end
  end

  def info(message, %State{outlet: outlet} = stage), do: %{stage | outlet: Outlet.info(outlet, message)}

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

  def set_mode(:forward, %State{mode: held} = stage),
    do: held |> :lists.reverse() |> replay({:noreply, %{stage | mode: :forward}})

  defp replay([], step), do: step
  defp replay(_held, {:stop, _reason, _stage} = stop), do: stop
  defp replay(held, {:noreply, stage, :hibernate}), do: replay(held, {:noreply, stage})
  defp replay([{:demand, n} | held], {:noreply, stage}), do: replay(held, forward(n, stage))

  defp replay([{:events, events} | held], {:noreply, stage}),
    do: replay(held, {:noreply, emit(events, stage)})

  defp replay([{:info, message} | held], {:noreply, stage}),
    do: replay(held, {:noreply, info(message, stage)})
end
