defmodule Penstock.Json do
  @moduledoc false
  # JSON by the Rust core. A call that would hold a scheduler for long goes to a dirty one.
  #
  # Decoding goes by the text's size. Encoding cannot know the size beforehand: the ordinary call gives up at
  # 16 KB of text or as many terms, which costs it less than it may take, and the dirty one begins anew.

  alias Penstock.Native

  # The most laborious text (numbers, small objects) takes 25 to 35 ns a byte where 63 KB of long
  # strings take 1.5 (2 shared cores): half a millisecond at this size.
  @dirty_from 16_384

  @type json :: nil | boolean | number | String.t() | [json] | %{optional(String.t()) => json}

  @doc "Reads a document: objects as maps with binaries as keys, null as nil, integers of any size exact."
  @spec decode(binary) :: {:ok, json} | {:error, String.t()}
  def decode(text) when byte_size(text) < @dirty_from, do: Native.json_decode(text)
  def decode(text), do: Native.json_decode_dirty(text)

  @doc """
  Writes a term. Keys may be binaries, atoms or integers; nil and null are null, undefined is refused, other atoms but true and false
  become strings.

  The error's text names the part that has no form in JSON, and the way to it.
  """
  @spec encode(term) :: {:ok, binary} | {:error, String.t()}
  def encode(term) do
    case Native.json_encode(term) do
      {:error, :large} -> Native.json_encode_dirty(term)
      answer -> answer
    end
  end
end
