defmodule Penstock.Answerer do
  @moduledoc false
  # A server that answers each request as a test tells it, right or wrong, in HTTP/2 frames written out.

  import ExUnit.Callbacks

  alias Penstock.Soak.{Http2, Protobuf}

  @doc """
  Starts one and gives its connection string. `answer` is called with the number of the request, from 0 on over all
  connections, and the stream it came on; it gives the frames to send, or `:close`.
  """
  def start(answer, port \\ 0) do
    options = [:binary, active: false, ip: {127, 0, 0, 1}, nodelay: true, reuseaddr: true]
    {:ok, listener} = :gen_tcp.listen(port, options)
    {:ok, port} = :inet.port(listener)
    count = :counters.new(1, [])
    start_supervised!({Task, fn -> accept(listener, {answer, count}) end}, id: make_ref())
    "esdb://127.0.0.1:#{port}?tls=false"
  end

  defp accept(listener, answer) do
    case :gen_tcp.accept(listener) do
      {:ok, socket} ->
        meet(socket, answer)
        accept(listener, answer)

      # the test that listens is over
      {:error, :closed} ->
        :ok
    end
  end

  defp meet(socket, answer) do
    peer =
      spawn_link(fn ->
        receive do: (:yours -> :ok)

        with {:ok, _preface} <- :gen_tcp.recv(socket, Http2.preface_size()),
             :ok <- :gen_tcp.send(socket, Http2.settings([])) do
          serve(socket, answer)
        end
      end)

    :ok = :gen_tcp.controlling_process(socket, peer)
    send(peer, :yours)
  end

  defp serve(socket, {answer, count} = how) do
    with {:ok, frame} <- Http2.receive_frame(socket),
         :ok <-
           (case frame do
              {:settings, false, _, _} ->
                :gen_tcp.send(socket, Http2.settings_ack())

              {:ping, false, _, payload} ->
                :gen_tcp.send(socket, Http2.pong(payload))

              # the end of a request
              {:data, true, stream, _} ->
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

  @doc "The head of an answer, with more to come."
  def head(stream, status \\ "200", type \\ "application/grpc"),
    do: Http2.headers(stream, [{":status", status}, {"content-type", type}])

  @doc "Messages, in one DATA frame."
  def data(stream, messages), do: Http2.data(stream, IO.iodata_to_binary(messages))

  @doc "An end without trailers."
  def ended(stream), do: Http2.data(stream, "", end: true)

  def trailers(stream, status \\ "0"), do: Http2.headers(stream, [{"grpc-status", status}], end: true)

  defdelegate reset(stream, reason), to: Http2

  def confirmation, do: message([{2, [{1, "x"}]}])
  def caught_up, do: message([{8, ""}])

  @doc "An event, or with `:link` a link beside it; the other options are parts of the event."
  def event(revision, parts \\ []) do
    {link, parts} = Keyword.pop(parts, :link)
    link = if link, do: [{2, recorded(revision, link)}], else: []
    message([{1, [{1, recorded(revision, parts)} | link]}])
  end

  defp recorded(revision, parts) do
    parts =
      Keyword.merge(
        [id: "00000000-0000-4000-8000-000000000001", created: "17953890257052301", data: "{}"],
        parts
      )

    named = [{"type", "T"}, {"content-type", "application/json"}, {"created", parts[:created]}]

    [{1, [{2, parts[:id]}]}, {2, [{3, "s"}]}, {3, revision}, {8, parts[:data]}] ++
      for {name, value} <- named, do: {6, [{1, name}, {2, value}]}
  end

  defp message(fields), do: fields |> Protobuf.encode() |> Http2.message()
end
