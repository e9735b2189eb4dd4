defmodule Penstock.Producer.State do
  @moduledoc false
  # What the process of a native producer knows.

  alias Penstock.Producer.Dispatch
  alias Penstock.Stage.{SubscriptionFilter, Subscribers}

  @enforce_keys [:kind, :own, :native, :dispatch, :mode]
  defstruct [
    :kind,
    :own,
    :native,
    :dispatch,
    :mode,
    subscribers: Subscribers.new(),
    filters: %{},
    paused: nil
  ]

  # `kind` is the module that users know, whose own state is `own`; `filters` are those that run in this process.
  @type t :: %__MODULE__{
          kind: module,
          own: term,
          native: reference,
          dispatch: Dispatch.t(),
          mode: :forward | :accumulate,
          subscribers: Subscribers.t(),
          filters: %{Subscribers.id() => SubscriptionFilter.t()},
          paused: nil | %{Subscribers.id() => pos_integer}
        }

  @doc "What logs call the process."
  @spec who(t) :: String.t()
  def who(%__MODULE__{kind: kind, own: own}), do: kind.who(own)
end
