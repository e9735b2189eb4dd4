defmodule Penstock.Producer.Control do
  @moduledoc false
  # What every producer can do besides producing, as `Penstock.Stage.Control` does it for stages: hold still, go on,
  # and say how it is.
  #
  # A producer that is paused holds back the asks that come as well, so that `info` tells what came when. What is
  # ready waits where it always does, so nothing more is read than the buffer takes.

  alias Penstock.{Native, Telemetry}
  alias Penstock.Producer.{Served, State}
  alias Penstock.Stage.Subscribers

  @spec pause(State.t()) :: {[Served.t()], State.t()}
  def pause(%State{paused: nil} = state) do
    tell(state, :paused, %{system_time: System.system_time()})
    {[Native.producer_set_demand(state.native, :accumulate)], %{state | paused: %{}}}
  end

  def pause(state), do: {[], state}

  @spec resume(State.t()) :: {[Served.t()], State.t()}
  def resume(%State{paused: nil} = state), do: {[], state}

  def resume(%State{paused: asks} = state) do
    tell(state, :resumed, %{held: 0})
    asked = for {id, n} <- asks, do: Native.producer_ask(state.native, id, n)
    {asked ++ [Native.producer_set_demand(state.native, state.mode)], %{state | paused: nil}}
  end

  @doc "An ask that comes during a pause."
  @spec hold(State.t(), Subscribers.id(), pos_integer) :: State.t()
  def hold(%State{paused: asks} = state, id, n), do: %{state | paused: Map.update(asks, id, n, &(&1 + n))}

  @doc "What becomes of asks that were held for a subscription that has ended."
  @spec forget(State.t(), Subscribers.id()) :: State.t()
  def forget(%State{paused: nil} = state, _id), do: state
  def forget(%State{paused: asks} = state, id), do: %{state | paused: Map.delete(asks, id)}

  @spec set_mode(State.t(), :forward | :accumulate) :: {[Served.t()], State.t()}
  def set_mode(%State{paused: nil} = state, mode),
    do: {[Native.producer_set_demand(state.native, mode)], %{state | mode: mode}}

  def set_mode(state, mode), do: {[], %{state | mode: mode}}

  @spec info(State.t()) :: Penstock.Stage.info()
  def info(%State{subscribers: subscribers, paused: paused} = state) do
    native = Native.producer_info(state.native)

    %{
      pid: self(),
      module: state.kind,
      type: :producer,
      mode: state.mode,
      paused: paused != nil,
      demand: native.demand,
      buffered: native.ready_events,
      off_heap: native.ready_events,
      held: 0,
      waiting: 0,
      consumers: for({id, from} <- subscribers.by_id, do: consumer(id, from, state)),
      producers: []
    }
  end

  defp consumer(id, {pid, tag}, %State{native: native, paused: paused}) do
    %{
      pid: pid,
      tag: tag,
      demand: Native.producer_demand_of(native, id),
      asked_while_paused: Map.get(paused || %{}, id, 0)
    }
  end

  @doc "Tells of a subscription's begin or end."
  @spec tell_subscription(State.t(), :subscribed | :cancelled, Subscribers.from(), map) :: :ok
  def tell_subscription(state, event, {peer, tag}, more \\ %{}) do
    about = Map.merge(more, %{role: :consumer, peer: peer, tag: tag})
    tell(state, event, %{system_time: System.system_time()}, about)
  end

  defp tell(state, event, measurements, more \\ %{}) do
    metadata = Map.merge(more, %{stage: self(), module: state.kind, type: :producer})
    Telemetry.execute(event, measurements, metadata)
  end
end
