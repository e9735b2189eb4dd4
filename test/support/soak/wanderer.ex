defmodule Penstock.Soak.Wanderer do
  @moduledoc false
  # A consumer by bare messages that cancels and subscribes again, to the same producer and under another tag. What came
  # before the cancellation was confirmed was given to it and comes to nobody else.

  import Penstock.Soak.Fault

  alias Penstock.Soak.{Dice, Notebook}

  @confirmation_timeout 30_000

  def start_link(%{dice: {seed, name}} = settings) do
    {:ok,
     spawn_link(fn ->
       Dice.take(seed, name)
       subscribe(settings)
     end)}
  end

  defp subscribe(settings) do
    tag = make_ref()
    say(settings, tag, {:subscribe, nil, []})
    consume(settings, tag, 0, Dice.scale(1, 500))
  end

  defp consume(settings, tag, asked, left) when left <= 0 do
    say(settings, tag, {:cancel, :wandering})
    leave(settings, tag, asked)
  end

  defp consume(settings, tag, 0, left) do
    count = Dice.between(1, settings.kind.max_demand)
    say(settings, tag, {:ask, count})
    consume(settings, tag, count, left)
  end

  defp consume(%{producer: producer} = settings, tag, asked, left) do
    receive do
      {:"$gen_consumer", {^producer, ^tag}, events} when is_list(events) ->
        consume(settings, tag, asked - take(events, asked, settings), left - length(events))

      other ->
        law(false, "a consumer got #{brief(other)}")
    end
  end

  defp leave(%{producer: producer} = settings, tag, asked) do
    receive do
      {:"$gen_consumer", {^producer, ^tag}, {:cancel, :wandering}} ->
        subscribe(settings)

      {:"$gen_consumer", {^producer, ^tag}, events} when is_list(events) ->
        leave(settings, tag, asked - take(events, asked, settings))

      other ->
        law(false, "a consumer that cancelled got #{brief(other)}")
    after
      @confirmation_timeout -> law(false, "a cancellation was not confirmed")
    end
  end

  defp take(events, asked, settings) do
    Notebook.came(events)
    law(length(events) <= asked, "#{length(events)} events came where #{asked} were asked for")
    Enum.each(events, &Notebook.note(settings.notebook, settings.hand, &1))
    length(events)
  end

  defp say(%{producer: producer}, tag, message) do
    send(producer, {:"$gen_producer", {self(), tag}, message})
  end
end
