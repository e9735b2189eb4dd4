defmodule Penstock.Soak.Protobuf do
  @moduledoc false
  # Messages as lists of `{field, value}`: a number is a varint, a binary is bytes, a list is a message within.

  def encode(fields), do: for({field, value} <- fields, into: "", do: field(field, value))

  defp field(field, value) when is_integer(value), do: <<varint(field * 8)::binary, varint(value)::binary>>

  defp field(field, value) when is_binary(value),
    do: <<varint(field * 8 + 2)::binary, varint(byte_size(value))::binary, value::binary>>

  defp field(field, value) when is_list(value), do: field(field, encode(value))

  def varint(value) when value < 128, do: <<value>>
  def varint(value), do: <<1::1, rem(value, 128)::7, varint(div(value, 128))::binary>>

  @doc "The fields of a message; messages within are bytes still."
  def decode(""), do: []

  def decode(bytes) do
    {key, rest} = read_varint(bytes)
    {value, rest} = read_value(rem(key, 8), rest)
    [{div(key, 8), value} | decode(rest)]
  end

  @doc "The first field of this number along a path, or nil."
  def get(bytes, path), do: Enum.reduce(path, bytes, fn field, within -> within && first(within, field) end)

  defp first(bytes, field),
    do: Enum.find_value(decode(bytes), fn {number, value} -> number == field && value end)

  defp read_value(0, bytes), do: read_varint(bytes)

  defp read_value(2, bytes) do
    {length, rest} = read_varint(bytes)
    :erlang.split_binary(rest, length)
  end

  defp read_varint(bytes, shift \\ 0)
  defp read_varint(<<0::1, part::7, rest::binary>>, shift), do: {Bitwise.bsl(part, shift), rest}

  defp read_varint(<<1::1, part::7, rest::binary>>, shift) do
    {value, rest} = read_varint(rest, shift + 7)
    {Bitwise.bor(value, Bitwise.bsl(part, shift)), rest}
  end
end
