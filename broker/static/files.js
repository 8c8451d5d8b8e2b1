// Says that a chosen file is too large, which the server could say only after receiving it.
document.addEventListener('change', ({ target }) => {
  if (!target.matches('[data-most]')) return;
  const large = [...target.files].some(file => file.size > Number(target.dataset.most));
  target.setCustomValidity(large ? target.dataset.tooLarge : '');
  if (large) target.reportValidity();
});
