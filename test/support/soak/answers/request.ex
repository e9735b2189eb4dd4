defmodule Penstock.Soak.Answers.Request do
  @moduledoc false
  # What a client has asked for. The messages tell it; the header block need not be read.

  alias Penstock.Soak.{Http2, Protobuf}

  @doc """
  `{:subscribe, first}`, `{:read, first, count}`, `:locate_end`, or `{:append, id}` with its first event's id.
  """
  def parse(body) do
    {[first | rest], ""} = Http2.messages(body)
    options = Protobuf.get(first, [1])

    cond do
      Protobuf.get(options, [6]) -> {:subscribe, after_position(options)}
      Protobuf.get(options, [3]) == 1 -> :locate_end
      is_integer(Protobuf.get(options, [5])) -> {:read, position(options), Protobuf.get(options, [5])}
      true -> {:append, rest |> hd() |> Protobuf.get([2, 1, 2])}
    end
  end

  defp position(options), do: Protobuf.get(options, [1, 2]) || 0

  # A subscription's position is exclusive.
  defp after_position(options) do
    case Protobuf.get(options, [1, 2]) do
      nil -> 0
      revision -> revision + 1
    end
  end
end
