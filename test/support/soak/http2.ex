defmodule Penstock.Soak.Http2 do
  @moduledoc false
  # HTTP/2 by hand, as far as a client or server needs it that wants to say every byte itself.

  @preface "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
  @types [data: 0, headers: 1, rst_stream: 3, settings: 4, ping: 6, goaway: 7, window_update: 8]
  @names Map.new(@types, fn {name, number} -> {number, name} end)

  @end_stream 1
  @ack 1
  @end_headers 4

  def preface, do: @preface
  def preface_size, do: byte_size(@preface)

  def frame(type, flags, stream, payload) do
    type = if is_integer(type), do: type, else: Keyword.fetch!(@types, type)
    <<byte_size(payload)::24, type, flags, 0::1, stream::31, payload::binary>>
  end

  def data(stream, payload, opts \\ []), do: frame(:data, ended(opts), stream, payload)

  def headers(stream, fields, opts \\ []),
    do: frame(:headers, ended(opts) + @end_headers, stream, block(fields))

  def reset(stream, code), do: frame(:rst_stream, 0, stream, <<code::32>>)
  def goaway(last, code, text \\ ""), do: frame(:goaway, 0, 0, <<last::32, code::32, text::binary>>)

  def settings(pairs),
    do: frame(:settings, 0, 0, for({id, value} <- pairs, into: "", do: <<id::16, value::32>>))

  def settings_ack, do: frame(:settings, @ack, 0, "")
  def pong(payload), do: frame(:ping, @ack, 0, payload)
  def window_update(stream, bytes), do: frame(:window_update, 0, stream, <<bytes::32>>)

  # All literal, none remembered: nothing depends on what was sent before.
  defp block(fields) do
    for {name, value} <- fields, into: "", do: <<0, text(name)::binary, text(value)::binary>>
  end

  defp text(text) when byte_size(text) < 127, do: <<byte_size(text), text::binary>>

  # 127 and more go on in groups of seven bits.
  defp text(text), do: <<127, continued(byte_size(text) - 127)::binary, text::binary>>

  defp continued(rest) when rest < 128, do: <<rest>>
  defp continued(rest), do: <<1::1, rem(rest, 128)::7, continued(div(rest, 128))::binary>>

  defp ended(opts), do: if(opts[:end], do: @end_stream, else: 0)

  @doc "The next frame of a passive socket: its type, whether it is an end (or an acknowledgement), stream, payload."
  def receive_frame(socket, timeout \\ :infinity) do
    with {:ok, <<length::24, type, flags, _::1, stream::31>>} <- :gen_tcp.recv(socket, 9, timeout),
         {:ok, payload} <- payload(socket, length, timeout) do
      {:ok, {Map.get(@names, type, type), rem(flags, 2) == 1, stream, payload}}
    end
  end

  defp payload(_socket, 0, _timeout), do: {:ok, ""}
  defp payload(socket, length, timeout), do: :gen_tcp.recv(socket, length, timeout)

  @doc "A gRPC message in its frame."
  def message(payload), do: <<0, byte_size(payload)::32, payload::binary>>

  @doc "All messages of these bytes; the second is what is left of one that is not whole."
  def messages(bytes, found \\ [])

  def messages(<<0, length::32, payload::binary-size(length), rest::binary>>, found),
    do: messages(rest, [payload | found])

  def messages(rest, found), do: {Enum.reverse(found), rest}
end
