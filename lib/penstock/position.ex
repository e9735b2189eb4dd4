defmodule Penstock.Position do
  @moduledoc """
  A place in the log of all streams (`$all`): the commit and the prepare position of an event.

  Positions grow with the order of the log and mean nothing else: they are not counted in events, and those of two servers
  cannot be compared. A handler of `$all` keeps one where a handler of a stream keeps a revision: see
  `Penstock.Event.position/1`.

      iex> to_string(Penstock.Position.new(1788, 1788))
      "C:1788/P:1788"
      iex> Penstock.Position.compare(Penstock.Position.new(5, 5), Penstock.Position.new(7, 7))
      :lt

  It can be given to `Enum.sort/2` and its like, as `Penstock.Position`.
  """

  @enforce_keys [:commit, :prepare]
  defstruct [:commit, :prepare]

  @type t :: %__MODULE__{commit: non_neg_integer, prepare: non_neg_integer}

  # What servers count to.
  @most 0x7FFF_FFFF_FFFF_FFFF

  @doc "A position; raises an `ArgumentError` for numbers that are none (0 to 9223372036854775807, commit not before prepare)."
  @spec new(commit :: non_neg_integer, prepare :: non_neg_integer) :: t
  def new(commit, prepare) do
    position = %__MODULE__{commit: commit, prepare: prepare}

    if valid?(position),
      do: position,
      else:
        raise(
          ArgumentError,
          "a position takes two integers from 0 to #{@most}, commit and prepare, the second no greater than the first, " <>
            "got: #{inspect(commit)} and #{inspect(prepare)}"
        )
  end

  @doc false
  @spec valid?(term) :: boolean
  def valid?(%__MODULE__{commit: commit, prepare: prepare}),
    do: is_integer(commit) and is_integer(prepare) and prepare >= 0 and prepare <= commit and commit <= @most

  def valid?(_other), do: false

  @doc "Which of two comes first in the log."
  @spec compare(t, t) :: :lt | :eq | :gt
  def compare(%__MODULE__{} = a, %__MODULE__{} = b) do
    case {{a.commit, a.prepare}, {b.commit, b.prepare}} do
      {same, same} -> :eq
      {first, second} when first < second -> :lt
      _ -> :gt
    end
  end

  @doc """
  Reads what `to_string/1` wrote, as positions are kept in databases; `:error` for anything else.

      iex> Penstock.Position.parse("C:1788/P:1788")
      {:ok, %Penstock.Position{commit: 1788, prepare: 1788}}
      iex> Penstock.Position.parse("1788")
      :error
  """
  @spec parse(String.t()) :: {:ok, t} | :error
  def parse(text) when is_binary(text) do
    with [_, commit, prepare] <- Regex.run(~r/\AC:(\d{1,19})\/P:(\d{1,19})\z/, text),
         position = %__MODULE__{commit: String.to_integer(commit), prepare: String.to_integer(prepare)},
         true <- valid?(position) do
      {:ok, position}
    else
      _ -> :error
    end
  end

  @doc false
  # As the native core has it.
  @spec from_native({non_neg_integer, non_neg_integer} | nil) :: t | nil
  def from_native(nil), do: nil
  def from_native({commit, prepare}), do: %__MODULE__{commit: commit, prepare: prepare}

  @doc false
  @spec to_native(t) :: {non_neg_integer, non_neg_integer}
  def to_native(%__MODULE__{commit: commit, prepare: prepare}), do: {commit, prepare}

  defimpl String.Chars do
    def to_string(%{commit: commit, prepare: prepare}), do: "C:#{commit}/P:#{prepare}"
  end
end
