// Passkeys: asks Stint what to ask for, has the browser do it, and sends the form with its answer.
(() => {
  const say = (form, text) => {
    const box = form.querySelector('[role=alert]');
    box.textContent = text;
    box.hidden = !text;
  };
  const why = error => error.name === 'NotAllowedError' ? 'Nothing was done: it was stopped, or took too long.'
    : error.name === 'InvalidStateError' ? 'This device has a passkey for you already.'
    : `That did not work: ${error.message}`;

  const ask = async form => {
    const answer = await fetch(form.dataset.passkey, { method: 'POST', body: new FormData(form) });
    if (!(answer.headers.get('content-type') || '').includes('json')) throw new Error('this page is too old. Load it again.');
    const wanted = await answer.json();
    return form.hasAttribute('data-add')
      ? navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(wanted) })
      : navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(wanted) });
  };

  document.querySelectorAll('form[data-passkey]').forEach(form => {
    if (!window.PublicKeyCredential?.parseRequestOptionsFromJSON) {
      form.querySelectorAll('button').forEach(button => { button.disabled = true; });
      return say(form, 'This browser can’t use passkeys here. A newer one can.');
    }
    form.addEventListener('submit', async event => {
      event.preventDefault();
      say(form, '');
      try {
        form.elements.passkey.value = JSON.stringify(await ask(form));
        form.submit();
      } catch (error) {
        say(form, why(error));
      }
    });
  });
})();
