defmodule Penstock.Answerer do
  @moduledoc false
  # A server that answers each request as a test tells it, right or wrong: HTTP/2 frames written out by hand.

  import Bitwise
  import ExUnit.Callbacks

  @doc """
  Starts one and gives its connection string. `answer` is called with the number of the request, from 0 on over all
  connections, and the stream it came on; it gives the frames to send, or `:close`.
  """
  def start(answer) do
    {:ok, listener} = :gen_tcp.listen(0, [:binary, active: false, ip: {127, 0, 0, 1}, nodelay: true])
    {:ok, port} = :inet.port(listener)
    count = :counters.new(1, [])
    start_supervised!({Task, fn -> accept(listener, {answer, count}) end}, id: make_ref())
    "esdb://127.0.0.1:#{port}?tls=false"
  end

  defp accept(listener, answer) do
    {:ok, socket} = :gen_tcp.accept(listener)

    peer =
      spawn_link(fn ->
        receive do: (:yours -> :ok)

        with {:ok, _preface} <- :gen_tcp.recv(socket, 24), :ok <- :gen_tcp.send(socket, frame(4, 0, 0, "")) do
          serve(socket, answer)
        end
      end)

    :ok = :gen_tcp.controlling_process(socket, peer)
    send(peer, :yours)
    accept(listener, answer)
  end

  @settings 4
  @ping 6
  defp serve(socket, {answer, count} = how) do
    with {:ok, <<length::24, type, flags, _::1, stream::31>>} <- :gen_tcp.recv(socket, 9),
         {:ok, payload} <- if(length > 0, do: :gen_tcp.recv(socket, length), else: {:ok, ""}),
         :ok <-
           (case {type, flags &&& 1} do
              {@settings, 0} ->
                :gen_tcp.send(socket, frame(@settings, 1, 0, ""))

              {@ping, 0} ->
                :gen_tcp.send(socket, frame(@ping, 1, 0, payload))

              # the end of a request
              {0, 1} ->
                :counters.add(count, 1, 1)
                say(socket, answer.(:counters.get(count, 1) - 1, stream))

              _ ->
                :ok
            end) do
      serve(socket, how)
    end
  end

  defp say(socket, :close), do: :gen_tcp.close(socket) && :closed
  defp say(socket, frames), do: :gen_tcp.send(socket, frames)

  def frame(type, flags, stream, payload),
    do: <<byte_size(payload)::24, type, flags, stream::32, payload::binary>>

  @doc "The head of an answer, with more to come."
  def head(stream, status \\ "200", type \\ "application/grpc"),
    do: frame(1, 4, stream, literal(":status", status) <> literal("content-type", type))

  @doc "Messages, in one DATA frame."
  def data(stream, messages), do: frame(0, 0, stream, IO.iodata_to_binary(messages))

  @doc "An end without trailers."
  def ended(stream), do: frame(0, 1, stream, "")

  def trailers(stream, status \\ "0"), do: frame(1, 5, stream, literal("grpc-status", status))

  def reset(stream, reason), do: frame(3, 0, stream, <<reason::32>>)

  defp literal(name, value), do: <<0, byte_size(name), name::binary, byte_size(value), value::binary>>

  @doc "A message with its flag and length before it."
  def message(bytes), do: <<0, byte_size(bytes)::32, bytes::binary>>

  def confirmation, do: message(field(2, field(1, "x")))
  def caught_up, do: message(field(8, ""))

  @doc "An event, or with `:link` a link beside it; the other options are parts of the event."
  def event(revision, parts \\ []) do
    {link, parts} = Keyword.pop(parts, :link)
    link = if link, do: field(2, recorded(revision, link)), else: ""
    message(field(1, field(1, recorded(revision, parts)) <> link))
  end

  defp recorded(revision, parts) do
    parts =
      Keyword.merge(
        [id: "00000000-0000-4000-8000-000000000001", created: "17953890257052301", data: "{}"],
        parts
      )

    IO.iodata_to_binary([
      field(1, field(2, parts[:id])),
      field(2, field(3, "s")),
      <<3::5, 0::3>>,
      varint(revision),
      metadata("type", "T"),
      metadata("content-type", "application/json"),
      metadata("created", parts[:created]),
      parts[:raw] || field(8, parts[:data])
    ])
  end

  defp metadata(name, value), do: field(6, field(1, name) <> field(2, value))

  def field(tag, bytes), do: <<tag::5, 2::3, varint(byte_size(bytes))::binary, bytes::binary>>

  defp varint(number) when number < 128, do: <<number>>
  defp varint(number), do: <<1::1, band(number, 127)::7, varint(number >>> 7)::binary>>
end
