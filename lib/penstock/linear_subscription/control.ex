defmodule Penstock.LinearSubscription.Control do
  @moduledoc false
  # What every producer can do besides producing, as `Penstock.Stage.Control` does it for stages: hold still, go on,
  # and say how it is.
  #
  # A subscription that is paused holds back the asks that come as well, so that `info` tells what came when. What is
  # ready waits where it always does, so nothing more is read than the buffer takes.

  alias Penstock.{LinearSubscription, Native, Telemetry}
  alias Penstock.Stage.Subscribers

  @type state :: %{
          :native => reference,
          :subscribers => Subscribers.t(),
          :mode => :forward | :accumulate,
          :paused => nil | %{Subscribers.id() => pos_integer},
          optional(atom) => term
        }

  @typedoc "What the native core has to say once more may leave; nothing when nothing may."
  @type served :: term

  @spec pause(state) :: {served, state}
  def pause(%{paused: nil} = state) do
    tell(:paused, %{system_time: System.system_time()})
    {Native.linear_set_demand(state.native, :accumulate), %{state | paused: %{}}}
  end

  def pause(state), do: {:ok, state}

  @spec resume(state) :: {[served], state}
  def resume(%{paused: nil} = state), do: {[], state}

  def resume(%{paused: asks} = state) do
    tell(:resumed, %{held: 0})
    asked = for {id, n} <- asks, do: Native.linear_ask(state.native, id, n)
    {asked ++ [Native.linear_set_demand(state.native, state.mode)], %{state | paused: nil}}
  end

  @doc "An ask that comes during a pause."
  @spec hold(state, Subscribers.id(), pos_integer) :: state
  def hold(%{paused: asks} = state, id, n), do: %{state | paused: Map.update(asks, id, n, &(&1 + n))}

  @doc "What becomes of asks that were held for a subscription that has ended."
  @spec forget(state, Subscribers.id()) :: state
  def forget(%{paused: nil} = state, _id), do: state
  def forget(%{paused: asks} = state, id), do: %{state | paused: Map.delete(asks, id)}

  @spec set_mode(state, :forward | :accumulate) :: {served, state}
  def set_mode(%{paused: nil} = state, mode),
    do: {Native.linear_set_demand(state.native, mode), %{state | mode: mode}}

  def set_mode(state, mode), do: {:ok, %{state | mode: mode}}

  @spec info(state) :: Penstock.Stage.info()
  def info(%{subscribers: subscribers, paused: paused} = state) do
    native = Native.linear_info(state.native)

    %{
      pid: self(),
      module: LinearSubscription,
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

  defp consumer(id, {pid, tag}, %{native: native, paused: paused}) do
    %{
      pid: pid,
      tag: tag,
      demand: Native.linear_demand_of(native, id),
      asked_while_paused: Map.get(paused || %{}, id, 0)
    }
  end

  @doc "Tells of a subscription's begin or end."
  @spec tell_subscription(:subscribed | :cancelled, Subscribers.from(), map) :: :ok
  def tell_subscription(event, {peer, tag}, more \\ %{}) do
    tell(
      event,
      %{system_time: System.system_time()},
      Map.merge(more, %{role: :consumer, peer: peer, tag: tag})
    )
  end

  defp tell(event, measurements, more \\ %{}) do
    metadata = Map.merge(more, %{stage: self(), module: LinearSubscription, type: :producer})
    Telemetry.execute(event, measurements, metadata)
  end
end
