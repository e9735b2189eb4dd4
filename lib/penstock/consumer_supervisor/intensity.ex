defmodule Penstock.ConsumerSupervisor.Intensity do
  @moduledoc false
  # How often children may be restarted within a time, and when they were.

  alias __MODULE__

  @enforce_keys [:max_restarts, :max_seconds]
  defstruct [:max_restarts, :max_seconds, restarts: []]

  @type t :: %Intensity{
          max_restarts: non_neg_integer,
          max_seconds: non_neg_integer,
          restarts: [seconds :: integer]
        }

  # Takes its own options and the strategy; the rest are a consumer's.
  @spec new(term) :: {:ok, t, keyword} | {:error, {:bad_opts, String.t()}}
  def new(options) do
    with true <- Keyword.keyword?(options),
         {strategy, options} = Keyword.pop(options, :strategy),
         {restarts, options} = Keyword.pop(options, :max_restarts, 3),
         {seconds, options} = Keyword.pop(options, :max_seconds, 5),
         :ok <- strategy(strategy),
         :ok <- count(:max_restarts, restarts),
         :ok <- count(:max_seconds, seconds) do
      {:ok, %Intensity{max_restarts: restarts, max_seconds: seconds}, options}
    else
      false ->
        {:error, {:bad_opts, "supervisor's init expects a keywords list as options"}}

      {:error, message} ->
        {:error, {:bad_opts, message}}
    end
  end

  defp strategy(:one_for_one), do: :ok
  defp strategy(nil), do: {:error, "supervisor expects a strategy to be given"}

  defp strategy(other) do
    {:error,
     "unknown supervision strategy for consumer supervisor: expected :one_for_one, got: #{inspect(other)}"}
  end

  defp count(_key, n) when is_integer(n) and n >= 0, do: :ok

  defp count(key, other),
    do: {:error, "#{key} must be an integer that is not negative, got: #{inspect(other)}"}

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
