defmodule Penstock.Soak.Trailers do
  @moduledoc false
  # Header blocks of a peer that was told to remember none (a table of size 0): literals, and names of the fixed table,
  # which no trailer of gRPC is in.

  # How many bits Huffman's code takes for byte 0 and for those from 32 to 126 (RFC 7541, appendix B); what takes more
  # than 15 stands in no text of a server's.
  @lengths [
    13,
    [6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6],
    [5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10],
    [13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7],
    [7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6],
    [15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5],
    [6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13]
  ]

  # Codes of one length follow one another in the order of their bytes; shorter ones come first.
  @codes @lengths
         |> List.flatten()
         |> Enum.zip([0 | Enum.to_list(32..126)])
         |> Enum.filter(fn {length, _byte} -> length <= 15 end)
         |> Enum.sort()
         |> Enum.map_reduce({0, 5}, fn {length, byte}, {next, previous} ->
           code = Bitwise.bsl(next, length - previous)
           {{{length, code}, byte}, {code + 1, length}}
         end)
         |> elem(0)
         |> Map.new()

  @doc "The fields of a block that have a name of their own."
  def decode(block), do: Map.new(fields(block))

  defp fields(""), do: []
  defp fields(<<1::1, rest::bitstring>>), do: skip_index(7, rest)
  defp fields(<<1::2, rest::bitstring>>), do: literal(6, rest)
  defp fields(<<1::3, rest::bitstring>>), do: skip_index(5, rest)
  defp fields(<<_::4, rest::bitstring>>), do: literal(4, rest)

  defp skip_index(bits, rest) do
    {_index, rest} = integer(bits, rest)
    fields(rest)
  end

  defp literal(bits, rest) do
    {index, rest} = integer(bits, rest)
    {name, rest} = if index == 0, do: text(rest), else: {nil, rest}
    {value, rest} = text(rest)
    if name, do: [{name, value} | fields(rest)], else: fields(rest)
  end

  defp text(<<huffman::1, rest::bitstring>>) do
    {length, rest} = integer(7, rest)
    {text, rest} = :erlang.split_binary(rest, length)
    {if(huffman == 1, do: huffman(text, 0, 0, []), else: text), rest}
  end

  defp huffman(<<bit::1, rest::bitstring>>, code, length, found) do
    {code, length} = {code * 2 + bit, length + 1}

    case @codes do
      %{{^length, ^code} => byte} -> huffman(rest, 0, 0, [byte | found])
      _ -> huffman(rest, code, length, found)
    end
  end

  # What is left is padding.
  defp huffman("", _code, _length, found), do: found |> Enum.reverse() |> List.to_string()

  # A clause for each width: with a variable as its size, Elixir 1.20 wants a pin that 1.14 does not take.
  for bits <- 4..7 do
    defp integer(unquote(bits), <<value::unquote(bits), rest::binary>>) do
      if value == unquote(Bitwise.bsl(1, bits) - 1), do: continued(value, 0, rest), else: {value, rest}
    end
  end

  defp continued(value, shift, <<more::1, part::7, rest::binary>>) do
    value = value + Bitwise.bsl(part, shift)
    if more == 1, do: continued(value, shift + 7, rest), else: {value, rest}
  end
end
