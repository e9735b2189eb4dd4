defmodule Penstock.Soak.Dice do
  @moduledoc false
  # Everything that a schedule leaves to chance comes from its seed. Each process that throws has dice of its own, named
  # after what it does, so that none depends on when another one throws.

  @doc "Gives the calling process the dice of this name."
  def take(seed, name) do
    :rand.seed(:exsss, {seed, :erlang.phash2(name, 0x100000000), 0})
    :ok
  end

  def between(low, high) when low <= high, do: low + :rand.uniform(high - low + 1) - 1

  @doc "Small numbers as often as large ones: each power of two of the range is equally likely."
  def scale(low, high) when low >= 1 and low <= high do
    exponent = :math.log2(low) + :rand.uniform_real() * (:math.log2(high) - :math.log2(low))
    :math.pow(2, exponent) |> round() |> max(low) |> min(high)
  end

  def chance(percent), do: :rand.uniform(100) <= percent

  def pick(choices) when is_tuple(choices), do: elem(choices, :rand.uniform(tuple_size(choices)) - 1)
  def pick(choices), do: choices |> Enum.to_list() |> List.to_tuple() |> pick()

  @doc "One of the keys, as likely as its weight says."
  def weigh(weights) do
    Enum.reduce_while(weights, :rand.uniform(Enum.sum(Keyword.values(weights))), fn {choice, weight}, left ->
      if left <= weight, do: {:halt, choice}, else: {:cont, left - weight}
    end)
  end

  def bytes(count), do: :rand.bytes(count)

  @doc "The id of an event, as text."
  def uuid do
    <<a::binary-8, b::binary-4, c::binary-4, d::binary-4, e::binary-12>> =
      Base.encode16(bytes(16), case: :lower)

    Enum.join([a, b, c, d, e], "-")
  end
end
