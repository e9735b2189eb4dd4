defmodule Penstock.Options do
  @moduledoc false
  # One schema of a module's options: it validates them, names what is wrong, and writes their documentation.
  #
  # A schema is a keyword list of `option: [type: type, doc: text]` with either `required: true` or a `default:`.

  @type type ::
          :any
          | :boolean
          | :atom
          | :non_neg_integer
          | :pos_integer
          | :counted
          | :milliseconds
          | :name
          | :non_empty_string
          | :keyword
          | {:in, [term]}
          | {:check, (term -> boolean), takes :: String.t()}
          | {:keyword, schema}
  @type schema :: [{atom, keyword}]

  # What the Rust core and servers count to.
  @most 0x7FFF_FFFF_FFFF_FFFF

  # What a timer of the VM can wait for, in ms.
  @longest 4_294_967_295

  @doc "All options with their defaults as a map; raises an `ArgumentError` that names the option otherwise."
  @spec validate!(term, schema, String.t()) :: map
  def validate!(options, schema, owner) do
    unless Keyword.keyword?(options) do
      raise ArgumentError, "#{owner} takes a keyword list of options, got: #{inspect(options)}"
    end

    refuse_unknown!(options, schema, owner)
    Map.new(schema, fn {name, spec} -> {name, fetch!(options, name, spec, owner)} end)
  end

  defp refuse_unknown!(options, schema, owner) do
    case Keyword.keys(options) -- Keyword.keys(schema) do
      [] ->
        :ok

      [name | _] ->
        if Keyword.has_key?(schema, name) do
          raise ArgumentError, "#{owner}: option #{inspect(name)} is given more than once"
        end

        raise ArgumentError,
              "#{owner}: unknown option #{inspect(name)}; it takes #{Enum.map_join(schema, ", ", &inspect(elem(&1, 0)))}"
    end
  end

  defp fetch!(options, name, spec, owner) do
    case Keyword.fetch(options, name) do
      {:ok, value} ->
        check!(spec[:type], value, name, owner)

      :error ->
        if spec[:required],
          do:
            raise(
              ArgumentError,
              "#{owner}: option #{inspect(name)} is required; it takes #{takes(spec[:type])}"
            )

        default(spec, name, owner)
    end
  end

  defp default(spec, name, owner) do
    case spec[:type] do
      {:keyword, _} -> check!(spec[:type], spec[:default], name, owner)
      _ -> spec[:default]
    end
  end

  defp check!({:keyword, schema}, value, name, owner),
    do: validate!(value, schema, "#{owner}: option #{inspect(name)}")

  defp check!(type, value, name, owner) do
    if valid?(type, value) do
      value
    else
      raise ArgumentError,
            "#{owner}: option #{inspect(name)} takes #{takes(type)}, got: #{inspect(value)}#{hint(type, value)}"
    end
  end

  defp hint(:milliseconds, value) when is_integer(value) and value > @longest,
    do: " (more than #{@longest}, the longest that a timer of the VM runs)"

  defp hint(_type, value), do: hint(value)

  @doc "What is said of a value that looks like what is wanted: a charlist, bytes that are no text, a number beyond 64 bits."
  @spec hint(term) :: String.t()
  def hint([_ | _] = value) do
    if not List.improper?(value) and List.ascii_printable?(value),
      do: " (a charlist: write #{inspect(List.to_string(value))})",
      else: ""
  end

  def hint(value) when is_integer(value) and value > @most,
    do: " (more than #{@most}, as far as it is counted)"

  def hint(value) when is_binary(value), do: if(String.valid?(value), do: "", else: " (which is no UTF-8)")

  def hint(_value), do: ""

  defp valid?(:any, _), do: true
  defp valid?(:boolean, value), do: is_boolean(value)
  defp valid?(:atom, value), do: is_atom(value)
  defp valid?(:non_neg_integer, value), do: is_integer(value) and value >= 0
  defp valid?(:pos_integer, value), do: is_integer(value) and value > 0
  defp valid?(:counted, value), do: is_integer(value) and value in 1..@most
  defp valid?(:milliseconds, value), do: value == :infinity or (is_integer(value) and value in 0..@longest)
  defp valid?(:name, value), do: name?(value)
  defp valid?(:non_empty_string, value), do: is_binary(value) and value != "" and String.valid?(value)
  defp valid?(:keyword, value), do: Keyword.keyword?(value)
  defp valid?({:in, values}, value), do: value in values
  defp valid?({:check, check, _}, value), do: check.(value)

  # Names that mean something else, or nothing.
  @no_names [nil, true, false, :undefined]

  @doc "Whether a process can have this name."
  @spec name?(term) :: boolean
  def name?(name) when is_atom(name), do: name not in @no_names
  def name?({:global, _name}), do: true
  def name?({:via, module, _name}), do: registry?(module)
  def name?(_other), do: false

  defp registry?(module) when is_atom(module) and module not in @no_names,
    do: Code.ensure_loaded?(module) and function_exported?(module, :whereis_name, 1)

  defp registry?(_other), do: false

  defp takes(:any), do: "any term"
  defp takes(:boolean), do: "true or false"
  defp takes(:atom), do: "an atom"
  defp takes(:non_neg_integer), do: "an integer from 0 on"
  defp takes(:pos_integer), do: "an integer from 1 on"
  defp takes(:counted), do: takes(:pos_integer)
  defp takes(:milliseconds), do: "milliseconds or :infinity"
  defp takes(:name), do: "an atom, {:global, term} or {:via, registry, term}"
  defp takes(:non_empty_string), do: "a string that is not empty"
  defp takes(:keyword), do: "a keyword list"
  defp takes({:in, values}), do: Enum.map_join(values, ", ", &inspect/1)
  defp takes({:check, _, takes}), do: takes
  defp takes({:keyword, _}), do: "a keyword list"

  @doc "The schema as a list for a moduledoc."
  @spec docs(schema) :: String.t()
  def docs(schema) do
    Enum.map_join(schema, "\n", fn {name, spec} ->
      "  * `#{inspect(name)}` - #{if spec[:required], do: "(required) "}#{spec[:doc]} " <>
        "Takes #{takes(spec[:type])}.#{unless spec[:required], do: " The default is `#{inspect(spec[:default])}`."}"
    end)
  end
end
