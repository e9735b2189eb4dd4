defmodule Penstock.Producer.Served do
  @moduledoc false
  # What serving came to: most often nothing but an atom, as the events are in the consumers' mailboxes. The rest is for
  # this process: messages to other nodes, events that a function chooses from, and what there is to tell.

  require Logger

  alias Penstock.{Native, Telemetry}
  alias Penstock.Producer.{State, Subscriptions}
  alias Penstock.Stage.{SubscriptionFilter, Subscribers}

  @typedoc "What the native core answers when it has served."
  @type t :: next | {next, hosted :: [tuple], marks :: [{kind :: atom, what :: term}]}
  @typep next :: :ok | :more | :large

  # Does what is left to do, in the order in which it was served: what comes of it meanwhile was served later.
  @spec run([t], State.t()) :: {:noreply, State.t()} | {:stop, reason :: term, State.t()}
  def run([], state), do: {:noreply, state}
  def run([:ok | rest], state), do: run(rest, state)

  def run([:more | rest], state) do
    # Behind what has come meanwhile, so that a large demand does not keep anybody waiting.
    send(self(), {:penstock, :ready})
    run(rest, state)
  end

  def run([:large | rest], state), do: run(rest ++ [Native.producer_serve_dirty(state.native)], state)

  def run([{next, hosted, marks} | rest], state) do
    {later, state} = Enum.flat_map_reduce(hosted, state, &host/2)

    case Enum.reduce_while(marks, {[], state}, &reached/2) do
      {:stop, reason, state} -> {:stop, reason, state}
      {latest, state} -> run(rest ++ later ++ latest ++ [next], state)
    end
  end

  defp host({:send, pid, message}, state) do
    Process.send(pid, message, [:noconnect])
    {[], state}
  end

  # The consumer may be gone, by what came before.
  defp host({:choose, id, events}, %State{filters: filters} = state) when is_map_key(filters, id) do
    case SubscriptionFilter.run(filters[id], events) do
      {:failed, how} ->
        Subscriptions.expel(id, {:filter_failed, how}, state)

      {wanted, unwanted} ->
        if wanted != [], do: Subscribers.deliver(state.subscribers, id, wanted)
        {if(unwanted > 0, do: [Native.producer_decline(state.native, id, unwanted)], else: []), state}
    end
  end

  defp host({:choose, _id, _events}, state), do: {[], state}

  defp reached({:exceeded, max}, {served, state}) do
    Logger.warning("#{State.who(state)} expects a maximum demand of #{max}, and was asked for more at once")
    {:cont, {served, state}}
  end

  # What a consumer asked to lose is lost, but not in silence.
  defp reached({:lagged, {id, n}}, {served, state}) do
    with %{^id => {pid, tag}} <- state.subscribers.by_id do
      Telemetry.execute(:lagged, %{count: n}, %{stage: self(), peer: pid, tag: tag})
      Logger.warning("#{State.who(state)} has dropped #{n} events that #{inspect(pid)} lagged behind")
    end

    {:cont, {served, state}}
  end

  defp reached({:lagging, id}, {served, state}) do
    {more, state} = Subscriptions.expel(id, :lagging, state)
    {:cont, {served ++ more, state}}
  end

  defp reached(mark, {served, %State{kind: kind, own: own} = state}) do
    case kind.reached(mark, own) do
      {:cont, own} -> {:cont, {served, %{state | own: own}}}
      {:stop, reason, own} -> {:halt, {:stop, reason, %{state | own: own}}}
    end
  end
end
