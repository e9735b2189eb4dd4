defmodule Penstock.Soak.Proxy.Plan do
  @moduledoc false
  # What will happen to one connection.
  #
  #   up, down - from the client and to it: `{byte, what}` in order
  #   timed    - `{ms, what}`, or nil
  #   absent   - for how many ms nobody listens after it was taken

  alias Penstock.Soak.Dice

  def none, do: %{up: [], down: [], timed: nil, absent: 0}

  def throw do
    case Dice.weigh(clean: 20, at_once: 10, faulty: 70) do
      :clean -> none()
      :at_once -> %{none() | timed: {0, ending()}, absent: absence()}
      :faulty -> %{up: faults(20_000), down: faults(400_000), timed: timed(), absent: absence()}
    end
  end

  defp absence, do: if(Dice.chance(5), do: Dice.between(1, 400), else: 0)
  defp timed, do: if(Dice.chance(40), do: {Dice.scale(2, 3_000), ending()})

  defp faults(reach) do
    {faults, _} =
      Enum.map_reduce(1..Dice.between(1, 4), 0, fn _, from ->
        byte = from + Dice.scale(1, reach)
        {{byte, fault()}, byte}
      end)

    faults
  end

  defp fault do
    case Dice.weigh(ending: 30, stall: 20, freeze: 4, drip: 25, delay: 15, half: 6) do
      :ending -> ending()
      :stall -> {:wait, Dice.scale(20, 3_000)}
      :delay -> {:wait, Dice.scale(1, 50)}
      :freeze -> :freeze
      :drip -> {:drip, Dice.between(1, 9), Dice.between(0, 4), Dice.scale(10, 3_000)}
      :half -> :half_close
    end
  end

  defp ending, do: Dice.pick([:close, :reset])
end
