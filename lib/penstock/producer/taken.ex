defmodule Penstock.Producer.Taken do
  @moduledoc false
  # What a process has taken of its native producer: the next events that it wants, in slices that no scheduler notices, and
  # what there is to tell.

  alias Penstock.{Event, Native}

  @type mark :: {kind :: atom, what :: term}

  # `notices` hold whatever has been given out, `marks` once these and all earlier events have been. Where there is `more?`,
  # the process goes on behind what has come to it meanwhile.
  defstruct events: [], notices: [], marks: [], more?: false
  @type t :: %__MODULE__{events: [Event.t()], notices: [mark], marks: [mark], more?: boolean}

  @doc "Takes what is wanted, after the message `{:penstock, :ready}`, which says that some of it is there."
  @spec take(reference) :: t
  def take(native), do: native |> Native.producer_take() |> run(native, [])

  # An event that is too large for an ordinary call stands alone in one of another kind.
  defp run(:large, native, notices), do: native |> Native.producer_take_dirty() |> run(native, notices)
  defp run({:large, [], more, []}, native, notices), do: run(:large, native, notices ++ more)

  defp run({next, events, more, marks}, _native, notices),
    do: %__MODULE__{events: events, notices: notices ++ more, marks: marks, more?: next == :more}

  defp run(next, _native, notices), do: %__MODULE__{notices: notices, more?: next == :more}
end
