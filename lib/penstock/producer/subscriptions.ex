defmodule Penstock.Producer.Subscriptions do
  @moduledoc false
  # Who comes and goes: subscriptions are taken or refused, and ended. Where others may be served then, what the core has
  # to say of that comes back with the state.

  require Logger

  alias Penstock.Native
  alias Penstock.Producer.{Control, Dispatch, Served, State}
  alias Penstock.Stage.{SubscriptionFilter, Subscribers}

  @spec subscribe(Subscribers.from(), nil | {tag :: term, reason :: term}, options :: term, State.t()) ::
          {[Served.t()], State.t()}
  def subscribe(from, {tag, reason}, options, state) do
    {served, state} = cancel(tag, :cancel, reason, state)
    {more, state} = subscribe(from, nil, options, state)
    {served ++ more, state}
  end

  def subscribe({pid, _tag} = from, nil, options, state) do
    case Subscribers.add(state.subscribers, from) do
      {:ok, id, subscribers} ->
        state = %{state | subscribers: subscribers}

        case join(from, id, options, state) do
          {:ok, unknown, state} ->
            unless unknown == [], do: ignored(unknown, pid, state)
            Control.tell_subscription(state, :subscribed, from)
            {[], state}

          {:error, reason} ->
            {[], refuse(from, reason, state)}
        end

      :duplicate ->
        {[], state}
    end
  end

  defp join(from, id, options, state) do
    with {:ok, options, unknown} <- checked(state, options),
         {:ok, chosen} <- filter(options, state),
         {filter, filters} = placed(chosen, id, state.filters),
         {:ok, how, dispatch} <- Dispatch.join(state, id, from, options, filter == :here) do
      :ok = Native.producer_subscribe(state.native, id, from, how, filter)
      {:ok, unknown, %{state | dispatch: dispatch, filters: filters}}
    end
  end

  defp checked(state, options) do
    with {:error, message} <- Dispatch.check(state, options), do: {:error, {:bad_opts, message}}
  end

  defp filter(options, state) do
    with {:error, message} <- SubscriptionFilter.new(options, Dispatch.filters(state.dispatch)),
         do: {:error, {:bad_opts, message}}
  end

  # A pattern is matched where the events are built, unless it is one that takes long.
  defp placed(nil, _id, filters), do: {nil, filters}
  defp placed([{:match, fields, n}], _id, filters) when is_integer(n), do: {{:match, fields}, filters}
  defp placed(filter, id, filters), do: {:here, Map.put(filters, id, filter)}

  # Options may be the consumer's own, for its `handle_subscribe/4`.
  defp ignored(options, pid, state) do
    Logger.info(
      "#{State.who(state)} has no use for options of #{inspect(pid)}'s subscription: #{inspect(options)}"
    )
  end

  defp refuse({pid, tag}, reason, state) do
    Logger.error("#{State.who(state)} refuses the subscription of #{inspect(pid)}: #{inspect(reason)}")
    {:ok, _id, _from, subscribers} = Subscribers.remove(state.subscribers, tag, reason)
    %{state | subscribers: subscribers}
  end

  @spec cancel(tag :: term, :cancel | :down, reason :: term, State.t()) :: {[Served.t()], State.t()}
  def cancel(tag, kind, reason, state) do
    case Subscribers.remove(state.subscribers, tag, reason) do
      {:ok, id, from, subscribers} ->
        served = Native.producer_cancel(state.native, id)
        Control.tell_subscription(state, :cancelled, from, %{kind: kind, reason: reason})
        dispatch = Dispatch.leave(state.dispatch, from)
        filters = Map.delete(state.filters, id)
        state = %{state | subscribers: subscribers, dispatch: dispatch, filters: filters}
        {[served], Control.forget(state, id)}

      :unknown ->
        {[], state}
    end
  end

  @doc "Ends a subscription from within, as if its consumer had asked for that."
  @spec expel(Subscribers.id(), reason :: term, State.t()) :: {[Served.t()], State.t()}
  def expel(id, reason, state) do
    case state.subscribers.by_id do
      %{^id => {pid, tag}} ->
        Logger.error("#{State.who(state)} cancels the subscription of #{inspect(pid)}: #{inspect(reason)}")
        cancel(tag, :cancel, reason, state)

      %{} ->
        {[], state}
    end
  end
end
