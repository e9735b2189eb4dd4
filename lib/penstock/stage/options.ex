defmodule Penstock.Stage.Options do
  @moduledoc false
  # Takes options out of a list one by one, each with its check. A complaint names the option, what it takes and
  # what it got; its wording is what users of GenStage know.

  # Nobody can tell a larger number from this one, so larger ones are taken for it.
  @most Penstock.Stage.Protocol.most()

  @type checked(value) :: {:ok, value, keyword} | {:error, message :: String.t()}

  @doc "The largest number that a count comes to."
  @spec most() :: pos_integer
  def most, do: @most

  @doc "An integer from `least` on, up to `greatest`."
  @spec integer(keyword, atom, term, integer, integer | :infinity) :: checked(integer)
  def integer(options, key, default, least, greatest \\ :infinity) do
    {value, options} = Keyword.pop(options, key, default)
    with :ok <- within(key, value, least, greatest), do: {:ok, value, options}
  end

  # An atom is greater than every number.
  defp within(key, value, least, greatest) do
    cond do
      not is_integer(value) -> expected(key, "an integer", value)
      value < least -> expected(key, "equal to or greater than #{least}", value)
      value > greatest -> expected(key, "equal to or less than #{greatest}", value)
      true -> :ok
    end
  end

  @doc "A count, or `:infinity`."
  @spec limit(keyword, atom, non_neg_integer | :infinity) :: checked(non_neg_integer | :infinity)
  def limit(options, key, default) do
    case Keyword.pop(options, key, default) do
      {:infinity, options} ->
        {:ok, :infinity, options}

      _ ->
        with {:ok, n, options} <- integer(options, key, default, 0), do: {:ok, min(n, @most), options}
    end
  end

  @doc "One of some values."
  @spec one_of(keyword, atom, value, [value]) :: checked(value) when value: term
  def one_of(options, key, default, values) do
    {value, options} = Keyword.pop(options, key, default)
    with :ok <- among(key, value, values), do: {:ok, value, options}
  end

  defp among(key, value, values),
    do: if(value in values, do: :ok, else: expected(key, "one of #{inspect(values)}", value))

  @doc "A list."
  @spec list(keyword, atom, list) :: checked(list)
  def list(options, key, default) do
    {value, options} = Keyword.pop(options, key, default)
    if is_list(value), do: {:ok, value, options}, else: expected(key, "a list", value)
  end

  @doc "Nothing that nobody has taken."
  @spec none_left(keyword) :: :ok | {:error, message :: String.t()}
  def none_left([]), do: :ok
  def none_left(options), do: {:error, "unknown options #{inspect(options)}"}

  @doc "What a subscription takes; the rest of its options is the producer's business."
  @spec subscription(term) ::
          {:ok, cancel :: atom, min :: non_neg_integer, max :: pos_integer} | {:error, String.t()}
  def subscription(options) do
    with :ok <- of_subscription(options),
         max = get(options, :max_demand, 1000),
         :ok <- within(:max_demand, max, 1, :infinity),
         min = get(options, :min_demand, div(max, 2)),
         :ok <- within(:min_demand, min, 0, max - 1),
         cancel = get(options, :cancel, :permanent),
         :ok <- among(:cancel, cancel, [:temporary, :transient, :permanent]) do
      {:ok, cancel, min, max}
    end
  end

  @doc """
  Whether these can be options of a subscription: any list, for those of a dispatcher of somebody else's may be more than
  pairs.
  """
  @spec of_subscription(term) :: :ok | {:error, message :: String.t()}
  def of_subscription(options) do
    if is_list(options) and not List.improper?(options),
      do: :ok,
      else: {:error, "expected subscription options to be a list, got: #{inspect(options)}"}
  end

  @doc "The value of a key of subscription options."
  @spec get([term], atom, term) :: term
  def get(options, key, default \\ nil) do
    case :lists.keyfind(key, 1, options) do
      {^key, value} -> value
      _ -> default
    end
  end

  @doc "What is wrong with an option."
  @spec expected(atom, String.t(), term) :: {:error, message :: String.t()}
  def expected(key, what, value),
    do: {:error, "expected #{inspect(key)} to be #{what}, got: #{inspect(value)}"}
end
