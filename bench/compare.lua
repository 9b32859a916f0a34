-- One workload on any server, for wrk: wrk --script compare.lua … URL -- METHOD PATH BODY LAST SEED ANSWER
-- An {id} in path and body is a number from 1 to LAST, by chance, the same with the same SEED. Each
-- answer must begin with ANSWER. The last line of the output is the counts, as JSON.

local threads = {}
local headers = { ['Content-Type'] = 'application/json' }

function setup(thread)
  table.insert(threads, thread)
end

-- Globals: `done` runs in a state of its own and can ask a thread only for these.
function init(arguments)
  local seed
  method, path, body, last, seed, answer = unpack(arguments)
  last = tonumber(last)
  math.randomseed(tonumber(seed))
  if body == '' then body = nil end
  is_constant = not (path .. (body or '')):find('{id}', 1, true)
  constant = wrk.format(method, path, headers, body)
  wrong, example = 0, ''
end

function request()
  if is_constant then return constant end
  local id = tostring(math.random(last))
  return wrk.format(method, path:gsub('{id}', id), headers, body and body:gsub('{id}', id))
end

function response(status, _, body)
  if status ~= 200 or body:sub(1, #answer) ~= answer then
    wrong = wrong + 1
    example = status .. ' ' .. body:sub(1, 200)
  end
end

function done(summary, latency)
  local all_wrong, an_example = 0, ''
  for _, thread in ipairs(threads) do
    all_wrong = all_wrong + thread:get('wrong')
    if an_example == '' then an_example = thread:get('example') end
  end
  local errors = summary.errors
  local broken = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  local counts = '{"requests":%d,"seconds":%f,"wrong":%d,"broken":%d,"p50_us":%d,"p99_us":%d}'
  io.write(an_example:gsub('\n', ' '), '\n')
  io.write(counts:format(summary.requests, summary.duration / 1e6, all_wrong, broken,
    latency:percentile(50), latency:percentile(99)), '\n')
end
