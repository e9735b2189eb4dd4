defmodule Penstock.LinearSubscription.Subscriptions do
  @moduledoc false
  # Who comes and goes: subscriptions are taken or refused, and ended.

  require Logger

  alias Penstock.LinearSubscription.{Control, Marks, Settings}
  alias Penstock.Native
  alias Penstock.Stage.Subscribers

  @spec subscribe(Subscribers.from(), nil | {tag :: term, reason :: term}, options :: term, map) :: map
  def subscribe(from, {tag, reason}, options, state),
    do: subscribe(from, nil, options, cancel(tag, :cancel, reason, state))

  def subscribe({pid, tag} = from, nil, options, state) do
    case Subscribers.add(state.subscribers, from) do
      {:ok, key, subscribers} ->
        state = %{state | subscribers: subscribers}

        case Settings.subscription(options) do
          {:ok, unknown} ->
            unless unknown == [], do: ignored(unknown, pid, state)
            :ok = Native.linear_subscribe(state.native, key, pid, tag)
            Control.tell_subscription(:subscribed, from)
            state

          {:error, message} ->
            refuse(from, {:bad_opts, message}, state)
        end

      :duplicate ->
        state
    end
  end

  # Options may be the consumer's own, for its `handle_subscribe/4`.
  defp ignored(options, pid, state) do
    Logger.info(
      "#{Marks.who(state)} has no use for options of #{inspect(pid)}'s subscription: #{inspect(options)}"
    )
  end

  defp refuse({pid, tag}, reason, state) do
    Logger.error("#{Marks.who(state)} refuses the subscription of #{inspect(pid)}: #{inspect(reason)}")
    {:ok, _key, _from, subscribers} = Subscribers.remove(state.subscribers, tag, reason)
    %{state | subscribers: subscribers}
  end

  @spec cancel(tag :: term, :cancel | :down, reason :: term, map) :: map
  def cancel(tag, kind, reason, state) do
    case Subscribers.remove(state.subscribers, tag, reason) do
      {:ok, key, from, subscribers} ->
        :ok = Native.linear_cancel(state.native, key)
        Control.tell_subscription(:cancelled, from, %{kind: kind, reason: reason})
        Control.forget(%{state | subscribers: subscribers}, key)

      :unknown ->
        state
    end
  end
end
