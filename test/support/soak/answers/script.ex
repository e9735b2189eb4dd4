defmodule Penstock.Soak.Answers.Script do
  @moduledoc false
  # What a wrong server answers to a request: a list of `{:send, bytes}`, `{:wait, ms}`, `:close` and `:reset`, a word
  # for how it ends, and whether all messages were sent before.
  #
  # Moods: `:road` ends calls as networks, proxies and restarts do, with nothing untrue before; `:nonsense` also sends
  # what cannot be decoded; `:liar` also sends events twice, out of order, or of another place; `:right` is `:road`
  # that never ends a call too early.

  alias Penstock.Soak.Answers.{Ending, Nonsense, Stream}
  alias Penstock.Soak.{Dice, Http2}

  @ok [{":status", "200"}, {"content-type", "application/grpc"}]

  @doc "The answer to a request on an HTTP/2 stream: `{steps, ending, complete?}`."
  def throw(request, id, mood) do
    messages = messages(request, mood)
    endings = if ends?(request), do: [:whole], else: [:open]

    cond do
      mood == :right -> whole(messages, id, hd(endings))
      Dice.chance(15) -> at_once(id, mood)
      Dice.chance(35) -> whole(messages, id, hd(endings))
      true -> broken(messages, id, mood)
    end
  end

  defp ends?({:subscribe, _}), do: false
  defp ends?(_), do: true

  # Refused before there is an answer.
  defp at_once(id, mood) do
    {steps, ending} = Ending.before(id, mood)
    {steps, ending, false}
  end

  defp whole(messages, id, ending) do
    last = if ending == :whole, do: [{:send, Ending.status(id, 0)}], else: []
    {[{:send, Http2.headers(id, @ok)}] ++ pieces(body(messages), id) ++ last, ending, true}
  end

  # Cut at any byte, also within a message.
  defp broken(messages, id, mood) do
    body = body(messages)
    cut = if Dice.chance(50), do: Dice.between(0, byte_size(body)), else: at_a_message(messages)
    {steps, ending} = Ending.throw(id, mood)

    {[{:send, Http2.headers(id, @ok)}] ++ pieces(binary_part(body, 0, cut), id) ++ steps, ending,
     cut == byte_size(body)}
  end

  defp at_a_message(messages),
    do: messages |> Enum.take(Dice.between(0, length(messages))) |> body() |> byte_size()

  defp body(messages), do: for({:bytes, bytes} <- Enum.map(messages, &framed/1), into: "", do: bytes)
  defp framed({:raw, bytes}), do: {:bytes, bytes}
  defp framed(message), do: {:bytes, Http2.message(message)}

  # DATA frames that end anywhere, with what a server may send in between, and waits.
  defp pieces("", _id), do: []

  defp pieces(body, id) do
    size = min(byte_size(body), Dice.scale(1, 16_384))
    {piece, rest} = :erlang.split_binary(body, size)
    between(id) ++ [{:send, Http2.data(id, piece)} | pieces(rest, id)]
  end

  defp between(id) do
    case Dice.weigh(nothing: 85, wait: 5, empty: 3, ping: 3, unknown: 2, window: 2) do
      :nothing -> []
      :wait -> [{:wait, Dice.scale(1, 60)}]
      :empty -> [{:send, Http2.data(id, "")}]
      :ping -> [{:send, Http2.frame(:ping, 0, 0, Dice.bytes(8))}]
      # A type that nobody knows is to be ignored.
      :unknown -> [{:send, Http2.frame(Dice.between(64, 255), 0, id, Dice.bytes(Dice.between(0, 20)))}]
      :window -> [{:send, Http2.window_update(Dice.pick([0, id]), 1_000)}]
    end
  end

  defp messages({:append, _id}, mood), do: [Stream.appended(Dice.between(0, 1_000))] |> spoilt(mood)

  defp messages(:locate_end, mood),
    do: [Stream.event(Stream.last()), Stream.last_position(Stream.last())] |> spoilt(mood)

  defp messages({:read, first, count}, mood) do
    last = min(first + count - 1, Stream.last())
    events = if first > last, do: [], else: Enum.map(first..last, &Stream.event/1)
    (events ++ [Stream.last_position(Stream.last())]) |> spoilt(mood)
  end

  defp messages({:subscribe, first}, mood) do
    past = first..Stream.last()//1 |> Enum.flat_map(&[Stream.event(&1) | beside()])

    live =
      max(first, Stream.last() + 1)..Stream.last_live()//1 |> Enum.flat_map(&[Stream.event(&1) | beside()])

    [Stream.confirmation() | spoilt(past ++ [Stream.caught_up()] ++ live, mood)]
  end

  # What may stand between events.
  defp beside do
    case Dice.weigh(nothing: 96, checkpoint: 1, caught_up: 1, fell_behind: 1, unknown: 1) do
      :nothing -> []
      :checkpoint -> [Stream.checkpoint()]
      :caught_up -> [Stream.caught_up()]
      :fell_behind -> [Stream.fell_behind()]
      :unknown -> [Stream.unknown()]
    end
  end

  defp spoilt(messages, mood) when mood in [:road, :right], do: messages
  defp spoilt(messages, :nonsense), do: Nonsense.put(messages)

  defp spoilt(messages, :liar) do
    Enum.flat_map(messages, fn message ->
      case Dice.weigh(right: 94, twice: 2, older: 2, skip: 2) do
        :right -> [message]
        :twice -> [message, message]
        :older -> [message, Stream.event(Dice.between(0, Stream.last()))]
        :skip -> []
      end
    end)
  end
end
