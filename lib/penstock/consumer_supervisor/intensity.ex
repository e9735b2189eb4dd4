defmodule Penstock.ConsumerSupervisor.Intensity do
  @moduledoc false
  # How often children may be restarted within a time, and when they were.

  alias __MODULE__
  alias Penstock.Options

  @enforce_keys [:max_restarts, :max_seconds]
  defstruct [:max_restarts, :max_seconds, restarts: []]

  @type t :: %Intensity{
          max_restarts: non_neg_integer,
          max_seconds: non_neg_integer,
          restarts: [seconds :: integer]
        }

  @options [
    strategy: [
      type: {:in, [:one_for_one]},
      required: true,
      doc: "Each child by itself."
    ],
    max_restarts: [
      type: :non_neg_integer,
      default: 3,
      doc: "How many restarts within `:max_seconds` are too many, when one more makes the supervisor give up."
    ],
    max_seconds: [type: :non_neg_integer, default: 5, doc: "Within how many seconds."]
  ]

  @doc "The options of its own and the strategy."
  @spec options() :: Options.schema()
  def options, do: @options

  # Takes those; the rest are a consumer's.
  @spec new(term) :: {:ok, t, keyword} | {:error, {:bad_opts, String.t()}}
  def new(options) do
    with true <- Keyword.keyword?(options),
         {:ok, %{max_restarts: restarts, max_seconds: seconds}, options} <- Options.take(options, @options) do
      {:ok, %Intensity{max_restarts: restarts, max_seconds: seconds}, options}
    else
      false -> {:error, {:bad_opts, "supervisor's init expects a keywords list as options"}}
      {:error, wrong} -> {:error, {:bad_opts, said(wrong)}}
    end
  end

  # In the words of the gen_stage library.
  defp said(%{option: :strategy, got: nil}), do: "supervisor expects a strategy to be given"

  defp said(%{option: :strategy, got: got}),
    do: "unknown supervision strategy for consumer supervisor: expected :one_for_one, got: #{inspect(got)}"

  defp said(%{option: option, got: got}),
    do: "#{option} must be an integer that is not negative, got: #{inspect(got)}"

  # Notes a restart, unless it is one too many.
  @spec restart(t) :: {:ok, t} | :reached
  def restart(%Intensity{} = intensity) do
    now = System.monotonic_time(:second)
    recent = [now | Enum.take_while(intensity.restarts, &(now <= &1 + intensity.max_seconds))]
    if length(recent) > intensity.max_restarts, do: :reached, else: {:ok, %{intensity | restarts: recent}}
  end

  # New limits for restarts that have been counted already.
  @spec adopt(t, t) :: t
  def adopt(%Intensity{} = new, %Intensity{restarts: restarts}), do: %{new | restarts: restarts}
end
