// The protocols that the page speaks, by the names that the server gives them.

import { AgUi } from "./ag_ui.js";
import { AgentApi } from "./agent_api.js";
import { Chat } from "./chat.js";
import { Responses } from "./responses.js";

export const PROTOCOLS = { agent_api: AgentApi, ag_ui: AgUi, chat: Chat, responses: Responses };
