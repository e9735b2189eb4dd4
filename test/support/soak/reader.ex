defmodule Penstock.Soak.Reader do
  @moduledoc false
  # A linear subscription and its consumers, started again at their position whenever they die.
  #
  # Shapes: `:one`, `:slow`, `:dying` (an ordinary consumer, linked to its producer, that stores its position after each
  # event), `:several` consumers of one producer, and `:wandering`, which cancels and subscribes again.

  import Penstock.Soak.Fault

  alias Penstock.LinearSubscription
  alias Penstock.Soak.{Consumer, Dice, Notebook, Wanderer}

  @shapes [:one, :one, :slow, :dying, :dying, :several, :wandering]

  @doc "A shape of reader, with all that is left to chance."
  def throw do
    shape = Dice.pick(@shapes)

    %{
      shape: shape,
      max_demand: Dice.pick([1, 2, 100, 1000]),
      hands: if(shape == :several, do: Dice.between(2, 4), else: 1),
      options: [
        buffer_size: Dice.pick([1, 10, 1_000, 10_000]),
        buffer_bytes: Dice.pick([1_000, 100_000, 4_194_304]),
        read_opts: [max_count: Dice.pick([1, 7, 200, 1000])],
        copy_bodies?: Dice.chance(50)
      ]
    }
  end

  @doc "Starts it; `options` are the subscription's."
  def start_link(name, kind, options, seed) do
    notebook = Notebook.new()

    keeper =
      spawn_link(fn ->
        Process.flag(:trap_exit, true)
        options = kind.options ++ options ++ [restore_stream_position!: fn -> Notebook.position(notebook) end]
        keep(%{name: name, kind: kind, options: options, notebook: notebook, seed: seed, life: 0})
      end)

    :ets.give_away(notebook, keeper, nil)
    %{name: name, keeper: keeper, notebook: notebook, kind: kind}
  end

  @doc "What its subscription says of itself, once it has one."
  def info(reader), do: reader |> ask(:producer) |> LinearSubscription.info()

  @doc "Kills its producer or one of its consumers."
  def kill(reader, which) when which in [:producer, :consumer],
    do: reader |> ask(which) |> Process.exit(:kill)

  defp ask(reader, what) do
    reference = make_ref()
    send(reader.keeper, {what, self(), reference})

    receive do
      {^reference, pid} -> pid
    after
      5_000 -> law(false, "reader #{reader.name} does not answer")
    end
  end

  defp keep(state) do
    {:ok, producer} = LinearSubscription.start_link(state.options)
    consumers = for hand <- 1..state.kind.hands, do: consumer(hand, producer, state)
    watch(producer, consumers, state)
  end

  defp consumer(hand, producer, %{kind: kind} = state) do
    module = if kind.shape == :wandering, do: Wanderer, else: Consumer

    {:ok, pid} =
      module.start_link(%{
        hand: hand,
        producer: producer,
        notebook: state.notebook,
        kind: kind,
        dice: {state.seed, {state.name, hand, state.life}}
      })

    pid
  end

  defp watch(producer, consumers, state) do
    receive do
      {:producer, from, reference} ->
        send(from, {reference, producer})
        watch(producer, consumers, state)

      {:consumer, from, reference} ->
        send(from, {reference, hd(consumers)})
        watch(producer, consumers, state)

      {:EXIT, pid, reason} ->
        if pid not in [producer | consumers], do: exit(reason)
        ended(pid == producer, reason, state)
        # The pair ends as one, as its own link or their supervisor sees to.
        for other <- [producer | consumers], other != pid, do: end_other(other)
        keep(%{state | life: state.life + 1})
    end
  end

  defp ended(_producer?, reason, _state) when reason in [:tired, :killed], do: :ok
  defp ended(_producer?, {%Penstock.Soak.Fault{} = fault, _stack}, _state), do: raise(fault)

  defp ended(producer?, reason, state) do
    who = if producer?, do: "the subscription", else: "a consumer"
    law(false, "#{who} of #{state.name} stopped: #{brief(reason)}")
  end

  defp end_other(pid) do
    Process.exit(pid, :kill)

    receive do
      {:EXIT, ^pid, _reason} -> :ok
    end
  end
end
