defmodule Penstock.Soak.Rpc do
  @moduledoc false
  # Calls that `Penstock.EventStore` does not have (deletes, `$all`), each on a connection of its own.

  alias Penstock.Soak.{Http2, Protobuf, Trailers}

  @timeout 15_000
  @window 0x7FFF_FFFF
  # SETTINGS_HEADER_TABLE_SIZE and SETTINGS_INITIAL_WINDOW_SIZE
  @settings [{1, 0}, {4, @window}]

  @doc "Deletes a stream: `:soft`, or `:tombstone` for good."
  def delete(port, stream, kind) do
    method = if kind == :soft, do: "Delete", else: "Tombstone"
    # Options: the stream's identifier, and `any` as what is expected of it.
    with {:ok, [_ | _]} <- call(port, method, [{1, [{1, [{3, stream}]}, {4, ""}]}]), do: :ok
  end

  @doc "All events of `$all`, in order, as `%{stream:, revision:, position:, id:, type:, data:, metadata:}`."
  def read_all(port) do
    # Options: all from the start, a count, no filter, ids as text.
    request = [{1, [{2, [{2, ""}]}, {5, 0x7FFF_FFFF}, {8, ""}, {9, [{2, ""}]}]}]
    with {:ok, answers} <- call(port, "Read", request), do: {:ok, Enum.flat_map(answers, &event/1)}
  end

  defp event(answer) do
    case Protobuf.get(answer, [1, 1]) do
      nil -> []
      recorded -> [recorded(Protobuf.decode(recorded))]
    end
  end

  defp recorded(fields) do
    named = for {6, entry} <- fields, into: %{}, do: {Protobuf.get(entry, [1]), Protobuf.get(entry, [2])}

    %{
      id: Protobuf.get(value(fields, 1), [2]),
      stream: Protobuf.get(value(fields, 2), [3]),
      revision: value(fields, 3) || 0,
      position: value(fields, 5) || 0,
      type: named["type"],
      metadata: value(fields, 7) || "",
      data: value(fields, 8) || ""
    }
  end

  defp value(fields, number), do: Enum.find_value(fields, fn {field, value} -> field == number && value end)

  defp call(port, method, request) do
    with {:ok, socket} <-
           :gen_tcp.connect({127, 0, 0, 1}, port, [:binary, active: false, nodelay: true], @timeout) do
      try do
        with :ok <- :gen_tcp.send(socket, opening(method, port, Protobuf.encode(request))),
             do: answers(socket, "")
      after
        :gen_tcp.close(socket)
      end
    end
  end

  defp opening(method, port, request) do
    fields = [
      {":method", "POST"},
      {":scheme", "http"},
      {":path", "/event_store.client.streams.Streams/" <> method},
      {":authority", "127.0.0.1:#{port}"},
      {"content-type", "application/grpc"},
      {"te", "trailers"}
    ]

    [
      Http2.preface(),
      Http2.settings(@settings),
      Http2.window_update(0, @window - 65_535),
      Http2.headers(1, fields),
      Http2.data(1, Http2.message(request), end: true)
    ]
  end

  defp answers(socket, body) do
    case Http2.receive_frame(socket, @timeout) do
      {:ok, {:data, ended?, 1, payload}} -> unless_ended(socket, [body, payload], ended?, %{})
      {:ok, {:headers, ended?, 1, block}} -> unless_ended(socket, body, ended?, Trailers.decode(block))
      {:ok, {:settings, false, 0, _}} -> answer(socket, body, Http2.settings_ack())
      {:ok, {:ping, false, 0, payload}} -> answer(socket, body, Http2.pong(payload))
      {:ok, {:rst_stream, _, 1, <<code::32>>}} -> {:error, {:reset, code}}
      {:ok, {:goaway, _, 0, payload}} -> {:error, {:goaway, payload}}
      {:ok, _} -> answers(socket, body)
      {:error, reason} -> {:error, reason}
    end
  end

  defp answer(socket, body, frame) do
    with :ok <- :gen_tcp.send(socket, frame), do: answers(socket, body)
  end

  defp unless_ended(socket, body, false, _trailers), do: answers(socket, body)

  defp unless_ended(_socket, body, true, %{"grpc-status" => "0"}) do
    case Http2.messages(IO.iodata_to_binary(body)) do
      {messages, ""} -> {:ok, messages}
      {_messages, rest} -> {:error, {:half_a_message, byte_size(rest)}}
    end
  end

  defp unless_ended(_socket, _body, true, trailers), do: {:error, {:status, trailers}}
end
