defmodule Penstock.Soak.Answers.Nonsense do
  @moduledoc false
  # Messages that are none, in place of right ones. None of them is another event than the one in whose place it stands:
  # whoever passes one over has skipped an event.

  alias Penstock.Soak.Answers.Stream
  alias Penstock.Soak.{Dice, Http2, Protobuf}

  @doc "Puts at most a few of them into an answer."
  def put(messages) do
    bad = for _ <- 1..Dice.between(0, 2)//1, do: Dice.between(0, length(messages) - 1)
    for {message, index} <- Enum.with_index(messages), do: if(index in bad, do: spoil(message), else: message)
  end

  defp spoil(message) do
    case Protobuf.get(message, [1, 1, 3]) do
      revision when is_integer(revision) -> Dice.pick([&any/1, fn _ -> event(revision) end]).(message)
      _ -> any(message)
    end
  end

  defp any(message) do
    Dice.pick([
      # Bytes (too few of them), part of a message, fields of the wrong type
      <<0x0A, 0xFF, 0x7F, Dice.bytes(Dice.scale(1, 200))::binary>>,
      binary_part(message, 0, Dice.between(1, byte_size(message) - 1)),
      <<0xFF, 0xFF>>,
      Protobuf.encode([{1, 7}]),
      Protobuf.encode([{1, [{1, 7}]}]),
      Protobuf.encode([{1, "\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"}]),
      # Frames of gRPC: compressed without a codec, of no known kind, of 4 GB, cut
      {:raw, <<1, byte_size(message)::32, message::binary>>},
      {:raw, <<Dice.between(2, 255), byte_size(message)::32, message::binary>>},
      {:raw, <<0, 0xFFFF_FFFF::32, message::binary>>},
      {:raw, <<0, 18_000_000::32, message::binary>>},
      {:raw, binary_part(Http2.message(message), 0, Dice.between(1, 5))}
    ])
  end

  defp event(revision) do
    Stream.event(
      revision,
      Dice.pick([
        [id: {1, [{2, Dice.pick(["", "nonsense", <<255>>, String.duplicate("0", 37)])}]}],
        [id: {1, 7}],
        [stream: {2, [{3, <<255, 0>>}]}],
        [named: [{"created", Dice.pick(["", "x", "-1", "99999999999999999999999"])}]],
        [named: [{"type", <<255>>}]],
        [named: [{"type", ""}]],
        [named: [{"content-type", Dice.pick(["", "text/plain", <<255>>])}]],
        [data: {8, Dice.pick(["", "{", <<255>>, "1e400", String.duplicate("[", 100_000)])}],
        [data: {8, 7}],
        [custom: {7, Dice.bytes(20)}]
      ])
    )
  end
end
