defmodule Penstock.Stage.Source do
  @moduledoc false
  # A consumer's record of one subscription, and the law by which it splits what it receives and asks again.

  require Logger

  alias Penstock.Stage.Subscribers

  @type cancel :: :permanent | :transient | :temporary
  @type flow :: :manual | {demand :: non_neg_integer, min :: non_neg_integer, max :: pos_integer}
  @type t :: {producer :: pid | {atom, node}, cancel, flow}

  # How many events of a message go into the next batch, how many to ask for after it, and the flow then.
  # `owed` is what is left of the demand that the message was sent against.
  @spec batch(size :: pos_integer, owed :: non_neg_integer, flow, from :: term) ::
          {count :: pos_integer, ask :: non_neg_integer, owed :: non_neg_integer, flow}
  def batch(size, owed, {demand, min, max}, from) do
    count = min(size, max - min)
    counted = min(count, owed)
    if count > owed, do: excess(count - owed, from)

    case demand - counted do
      left when left <= min -> {count, max - left, owed - counted, {max, min, max}}
      left -> {count, 0, owed - counted, {left, min, max}}
    end
  end

  # Whether a consumer ends with its producer.
  @spec fatal?(cancel, reason :: term) :: boolean
  def fatal?(_cancel, :already_subscribed), do: false
  def fatal?(:permanent, _reason), do: true
  def fatal?(:temporary, _reason), do: false
  def fatal?(:transient, reason) when reason in [:normal, :shutdown], do: false
  def fatal?(:transient, {:shutdown, _}), do: false
  def fatal?(:transient, _reason), do: true

  defp excess(count, from) do
    Logger.error(
      "Penstock.Stage consumer #{Subscribers.name()} has received #{count} events in excess from: #{inspect(from)}"
    )
  end
end
