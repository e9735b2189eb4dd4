defmodule Penstock.Soak.Answers.Ending do
  @moduledoc false
  # How calls end. `{steps, word}`; a word in `passing/0` is the road's, and what was called may have been done or not.

  alias Penstock.Soak.{Dice, Http2}

  @passing [:reset_stream, :no_trailers, :page, :goaway, :closed, :silent]

  @road [reset_stream: 20, no_trailers: 10, status: 20, goaway: 15, closed: 20, silent: 5]
  @wrong [odd_trailers: 15, odd_frame: 15, odd_reset: 5]

  # NO_ERROR, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM
  @resets [0, 7, 8, 11]
  # Cancelled, Unknown, DeadlineExceeded, ResourceExhausted, Aborted, Internal, Unavailable
  @statuses [1, 2, 4, 8, 10, 13, 14]
  @head [{":status", "200"}, {"content-type", "application/grpc"}]
  @pages ["429", "502", "503", "504"]

  def passing, do: @passing

  @doc "After a part of an answer."
  def throw(id, mood), do: done(Dice.weigh(kinds(mood)), id)

  @doc "In place of an answer."
  def before(id, mood), do: undone(Dice.weigh([page: 60] ++ kinds(mood)), id)

  defp kinds(:road), do: @road
  defp kinds(_mood), do: @road ++ @wrong

  @doc "Trailers, or all there is of an answer."
  def status(id, code, message \\ "so it is") do
    Http2.headers(id, [{"grpc-status", "#{code}"}, {"grpc-message", message}], end: true)
  end

  # Where there was no head of an answer, the end is one.
  defp undone(:no_trailers, id), do: {[{:send, Http2.headers(id, @head, end: true)}], :no_trailers}

  defp undone(:status, id) do
    {[{:send, Http2.headers(id, @head ++ [{"grpc-status", "#{Dice.pick(@statuses)}"}], end: true)}], :status}
  end

  defp undone(kind, id), do: done(kind, id)

  defp done(:reset_stream, id), do: {[{:send, Http2.reset(id, Dice.pick(@resets))}], :reset_stream}
  defp done(:no_trailers, id), do: {[{:send, Http2.data(id, "", end: true)}], :no_trailers}
  defp done(:status, id), do: {[{:send, status(id, Dice.pick(@statuses))}], :status}
  defp done(:silent, _id), do: {[], :silent}
  defp done(:closed, _id), do: {[Dice.pick([:close, :reset])], :closed}

  defp done(:goaway, id) do
    # Of this call it says that it was taken, or that it was not.
    last = Dice.pick([id, max(id - 2, 0), 0x7FFF_FFFF])
    {[{:send, Http2.goaway(last, Dice.pick([0, 2, 11]))}, {:wait, Dice.between(0, 20)}, :close], :goaway}
  end

  defp done(:page, id) do
    fields = [{":status", Dice.pick(@pages)}, {"content-type", "text/html"}]

    if Dice.chance(50) do
      {[{:send, Http2.headers(id, fields, end: true)}], :page}
    else
      {[{:send, [Http2.headers(id, fields), Http2.data(id, "<html>Bad Gateway", end: true)]}], :page}
    end
  end

  defp done(:odd_trailers, id) do
    fields =
      Dice.pick([
        [],
        [{"grpc-status", ""}],
        [{"grpc-status", "x"}],
        [{"grpc-status", "99999999999999999999"}],
        [{"grpc-status", "9"}, {"exception", "stream-deleted"}],
        [{"grpc-status", "9"}, {"exception", <<255>>}],
        [{"grpc-status", "7"}, {"grpc-message", "%ff%zz%"}],
        [{"grpc-status", "16"}],
        [{"grpc-status", "12"}],
        [{"grpc-status", "3"}],
        [{"grpc-status-details-bin", "?"}]
      ])

    {[{:send, Http2.headers(id, fields, end: true)}], :odd}
  end

  defp done(:odd_reset, id), do: {[{:send, Http2.reset(id, Dice.between(0, 0xFFFF_FFFF))}], :odd}

  defp done(:odd_frame, id) do
    frame =
      Dice.pick([
        Http2.headers(id, [{":status", "abc"}]),
        Http2.headers(id, [{"", ""}]),
        Http2.headers(id, [{"UPPER", "case"}], end: true),
        Http2.headers(id, [{"long", String.duplicate("x", 20_000)}], end: true),
        Http2.frame(:headers, 5, id, Dice.bytes(Dice.between(0, 50))),
        # CONTINUATION and PUSH_PROMISE where there can be none
        Http2.frame(9, 4, id, Dice.bytes(10)),
        Http2.frame(5, 4, id, <<2::32, Dice.bytes(5)::binary>>),
        Http2.data(0, "on stream 0"),
        Http2.data(id + 2, "on a stream that is not there"),
        Http2.settings([{4, 0x8000_0000}]),
        Http2.settings([{5, 1}]),
        Http2.frame(:settings, 0, 0, "12345"),
        Http2.frame(:ping, 0, 0, "1234"),
        Http2.window_update(id, 0),
        Http2.window_update(0, 0x7FFF_FFFF),
        Http2.reset(0, 0),
        Http2.goaway(0, Dice.between(0, 20), Dice.bytes(Dice.scale(1, 5_000))),
        <<0xFFFFFF::24, Dice.between(0, 9), 0, id::32>>,
        Dice.bytes(Dice.scale(1, 200)),
        "HTTP/1.1 400 Bad Request\r\n\r\n"
      ])

    {[{:send, frame}, {:wait, Dice.between(0, 20)}, :close], :odd}
  end
end
